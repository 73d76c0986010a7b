package predicate

import "unicode/utf8"

// A source whose server_encoding isn't UTF8 sends UTF-8 as any other, but where its own functions see bytes these are the
// encoding's. What goes by characters agrees: every server encoding has ASCII as it is and nothing of ASCII in its other
// characters. TestOracleEncodings compares with such servers.
// https://www.postgresql.org/docs/current/multibyte.html#MULTIBYTE-CHARSET-SUPPORTED

// byBytesOrder are implementations that order texts by their bytes; of the others byCollation tells.
var byBytesOrder = map[string]bool{}

func init() {
	for _, suffix := range []string{"lt", "le", "gt", "ge"} {
		for _, name := range []string{"name" + suffix, "text" + suffix + "name", "name" + suffix + "text", "text_pattern_" + suffix, "bpchar_pattern_" + suffix} {
			byBytesOrder[name] = true
		}
	}
}

// ordersAs refuses the order of texts, unless the encoding's bytes have that of UTF-8: LATIN1's are Unicode's first 256.
func (a *analyzer) ordersAs(at int) {
	if a.types.encoding != "" && a.types.encoding != "LATIN1" {
		a.refuse(at, "the order of text is that of the bytes of encoding "+a.types.encoding+", which is not evaluated here",
			"keep what is to be ordered in a column of another type")
	}
}

// encoded refuses what depends on the encoding's bytes.
func (a *analyzer) encoded(n *node) {
	if byCollation[n.call.name] == "order" || byBytesOrder[n.call.name] {
		a.ordersAs(n.pos)
	}
	switch n.call.name {
	case "textoctetlen", "bpcharoctetlen", "md5_text", "text_name", "bpchar_name":
		a.refuse(n.pos, "the bytes of encoding "+a.types.encoding+" are not known here", "use length(), which counts characters")
	}
}

// encodedInput is a type's input function where what it reads depends on the encoding.
func (t *types) encodedInput(oid uint32, read func(string) (datum, *Fault)) func(string) (datum, *Fault) {
	fault := inexact("the bytes of encoding %s are not known here", t.encoding)
	switch oid {
	case oidName:
		return func(s string) (datum, *Fault) {
			if len(s) > 63 {
				return datum{}, fault
			}
			return read(s)
		}
	case oidBytea:
		return func(s string) (datum, *Fault) {
			if !ascii(s) {
				return datum{}, fault
			}
			return read(s)
		}
	case oidJSONB:
		return func(s string) (datum, *Fault) {
			d, fault := parseJSON(s, false, false, true)
			return datum{x: d}, fault
		}
	}
	return read
}

// faultEncoded is that of a document with a key beyond ASCII, since jsonb orders keys by how many bytes they have, or with an
// escape, which may stand for a character that the encoding lacks.
var faultEncoded = inexact("in an encoding other than UTF8 a document's keys are read in ASCII alone, and no escapes")

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
