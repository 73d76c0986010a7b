package predicate

// input is the function that reads a type's text, nil where there is none here.
func (t *types) input(oid uint32) func(string) (datum, *Fault) {
	oid = t.baseOf(oid)
	read := t.plainInput(oid)
	if t.encoding != "" && read != nil {
		return t.encodedInput(oid, read)
	}
	return read
}

func (t *types) plainInput(oid uint32) func(string) (datum, *Fault) {
	switch oid {
	case oidBool:
		return boolIn
	case oidInt2:
		return intIn(int2Limits.low, int2Limits.high, "smallint", faultInt2)
	case oidInt4:
		return intIn(int4Limits.low, int4Limits.high, "integer", faultInt4)
	case oidInt8:
		return intIn(int8Limits.low, int8Limits.high, "bigint", faultInt8)
	case oidOID:
		return oidIn
	case oidFloat4:
		return floatIn(32, "real")
	case oidFloat8:
		return floatIn(64, "double precision")
	case oidNumeric:
		return numericIn
	case oidText, oidVarchar, oidBpchar:
		return textIn
	case oidName:
		return nameIn
	case oidUUID:
		return uuidIn
	case oidBytea:
		return byteaIn
	case oidDate:
		return dateIn
	case oidTime:
		return timeIn
	case oidTimestamp:
		return timestampIn(false)
	case oidTimestamptz:
		return timestampIn(true)
	case oidInterval:
		return intervalIn
	case oidJSON:
		return jsonIn
	case oidJSONB:
		return jsonbIn
	case oidInet:
		return inetIn(false)
	case oidCIDR:
		return inetIn(true)
	}
	d := t.get(oid)
	switch {
	case d.opaque:
		return nil
	case d.kind == 'e':
		return enumIn(d)
	case d.elem != 0 && d.category == 'A':
		if read := t.input(d.elem); read != nil {
			return arrayIn(read)
		}
	case d.kind == 'r':
		if k := t.rangeOf(oid); k != nil && k.cmp != nil {
			return k.in
		}
	}
	return nil
}

// oidIn reads what unsigned numbers print as; of the others strtoul takes nothing is guessed.
func oidIn(s string) (datum, *Fault) {
	i, ok := decimalInt(s)
	if !ok || i < 0 || len(s) > 1 && s[0] == '0' {
		return datum{}, inexact("an oid is read as a plain number alone")
	}
	return oidLimits.check(i)
}

// output is the function that prints a value, nil where there is none here.
func (t *types) output(oid uint32) func(datum) string {
	oid = t.baseOf(oid)
	switch oid {
	case oidBool:
		return boolOut
	case oidInt2, oidInt4, oidInt8, oidOID:
		return intOut
	case oidFloat4:
		return floatOut(32)
	case oidFloat8:
		return floatOut(64)
	case oidNumeric, oidText, oidVarchar, oidBpchar, oidName, oidUUID, oidBytea, oidJSON, oidUnknown:
		return textOut
	case oidDate:
		return dateOut
	case oidTime:
		return timeOut
	case oidTimestamp:
		return timestampOut("")
	case oidTimestamptz:
		return timestampOut("+00")
	case oidInterval:
		return intervalOut
	case oidJSONB:
		return jsonbOut
	case oidInet:
		return inetOut(false)
	case oidCIDR:
		return inetOut(true)
	}
	d := t.get(oid)
	switch {
	case d.opaque:
		return nil
	case d.kind == 'e':
		return textOut
	case d.elem != 0 && d.category == 'A':
		if write := t.output(d.elem); write != nil {
			return arrayOut(write)
		}
	case d.kind == 'r':
		if k := t.rangeOf(oid); k != nil && k.show != nil {
			return k.out
		}
	}
	return nil
}

// order is the comparison of a type's default operator class; equality alone is told by equality. Nil where there is none.
func (t *types) order(oid uint32) compare {
	oid = t.baseOf(oid)
	switch oid {
	case oidBool, oidInt2, oidInt4, oidInt8, oidOID, oidDate, oidTime, oidTimestamp, oidTimestamptz:
		return compareInt
	case oidFloat4, oidFloat8:
		return compareFloat
	case oidNumeric:
		return compareNumeric
	case oidText, oidVarchar, oidName, oidUUID, oidBytea:
		return compareBytes
	case oidBpchar:
		return comparePadded
	case oidInterval:
		return compareInterval
	case oidInet, oidCIDR:
		return compareNetworks
	}
	d := t.get(oid)
	switch {
	case d.opaque:
		return nil
	case d.kind == 'e':
		return compareEnum(d)
	case d.elem != 0 && d.category == 'A':
		if cmp := t.order(d.elem); cmp != nil {
			return compareArrays(cmp)
		}
	case d.kind == 'r':
		if k := t.rangeOf(oid); k != nil && k.cmp != nil {
			return k.compare
		}
	}
	return nil
}

// equality is a comparison whose zero means equal, whatever its sign.
func (t *types) equality(oid uint32) compare {
	if base := t.baseOf(oid); base == oidJSONB {
		return compareDocs
	} else if d := t.get(base); d.elem == oidJSONB && d.category == 'A' {
		return compareArrays(compareDocs)
	}
	return t.order(oid)
}
