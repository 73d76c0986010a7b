package value

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

// envCount names the environment variable with the number of random values of each common type; a fifth of it for the others.
const envCount = "PGRELAY_VALUES"

// envSeed names the one with the seed of the random values.
const envSeed = "PGRELAY_VALUES_SEED"

func setting(t *testing.T, name string, standard int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestOracle compares with Postgres: what Append makes of the text of a text-format result, and of the text of the
// stream, is what to_json gives, with the protocol's exceptions.
func TestOracle(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			o := newOracle(t, version)
			n := setting(t, envCount, 5000)
			o.tryAll(t, withArrays(common), n)
			o.tryAll(t, append(withArrays(uncommon), special...), (n+4)/5)
			t.Logf("seed %d; values by type, each from a query and from the stream:\n%s", o.seed, o.report.String())
			t.Logf("%d values in all", o.total)
		})
	}
}

// oracle is a server under the settings that the package asks for.
type oracle struct {
	server  *pgserver.Server
	conn    *pgx.Conn
	catalog *catalog
	seed    int
	tables  int
	total   int
	report  strings.Builder
}

func newOracle(t *testing.T, version int) *oracle {
	t.Helper()
	server := pgserver.ForTest(t, pgserver.Config{Version: version})
	config, err := pgx.ParseConfig(server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"DateStyle": "ISO", "TimeZone": "UTC", "IntervalStyle": "postgres", "extra_float_digits": "1",
		"bytea_output": "hex", "search_path": "pg_catalog", "client_encoding": "UTF8",
	} {
		config.RuntimeParams[name] = value
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o := &oracle{server: server, conn: conn, seed: setting(t, envSeed, 1)}
	o.catalog = &catalog{conn: conn, types: map[uint32]*relay.Type{}}
	o.exec(t, schema+"create publication everything for all tables;")
	o.exec(t, "select pg_create_logical_replication_slot('stream', 'pgoutput')")
	return o
}

func (o *oracle) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := o.conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%.300s: %v", sql, err)
	}
}

// tryAll tries n random values of each sample, a few samples to a table.
func (o *oracle) tryAll(t *testing.T, samples []sample, n int) {
	const columns = 12
	for len(samples) > 0 {
		now := min(columns, len(samples))
		o.try(t, samples[:now], n)
		samples = samples[now:]
	}
}

func (o *oracle) try(t *testing.T, samples []sample, n int) {
	o.tables++
	table := fmt.Sprintf("shop.t%d", o.tables)
	samples = o.known(t, samples)
	texts := o.insert(t, table, samples, n)
	rows := o.query(t, table, samples)
	streamed := o.stream(t)
	if len(rows) != texts || len(streamed) != texts {
		t.Fatalf("%s: %d rows queried, %d streamed, want %d", table, len(rows), len(streamed), texts)
	}
	for i, s := range samples {
		o.compare(t, table, i, s, rows, streamed)
	}
	o.exec(t, "drop table "+table)
}

// known leaves out xml where the server was built without it.
func (o *oracle) known(t *testing.T, samples []sample) []sample {
	var out []sample
	for _, s := range samples {
		if strings.HasPrefix(s.of, "xml") {
			if _, err := o.conn.Exec(t.Context(), "select '<a/>'::xml"); err != nil {
				t.Logf("%s left out: %v", s.of, err)
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// compare holds column i of every row against the oracle.
func (o *oracle) compare(t *testing.T, table string, i int, s sample, rows [][][]byte, streamed [][]relay.Value) {
	t.Helper()
	var oid uint32
	const sql = "select atttypid from pg_attribute where attrelid = $1::text::regclass and attname = $2"
	if err := o.conn.QueryRow(t.Context(), sql, table, fmt.Sprintf("c%d", i)).Scan(&oid); err != nil {
		t.Fatalf("read type of %s: %v", s.of, err)
	}
	of, err := o.catalog.load(t.Context(), oid)
	if err != nil {
		t.Fatal(err)
	}
	encoder, exact, compared, wrong := New(of), verbatim(of) && s.oracle == "", 0, 0
	for n, row := range rows {
		text, want := row[2*i], row[2*i+1]
		if text == nil {
			t.Fatalf("%s, row %d: null", s.of, n)
		}
		if streamed := streamed[n][i+1]; streamed.Kind != relay.ValueText || !bytes.Equal(streamed.Text, text) {
			t.Errorf("%s: the query has %q, the stream %q", s.of, text, streamed.Text)
			wrong++
		}
		got := encoder.Append(nil, text)
		if problem := differs(of, got, want, exact); problem != "" {
			t.Errorf("%s: of %q %s: got %s, to_json gives %s", s.of, text, problem, got, want)
			wrong++
		}
		if wrong > 2 {
			t.Fatalf("%s: too many differences", s.of)
		}
		compared++
	}
	o.total += compared
	fmt.Fprintf(&o.report, "%-28s %6d", s.of, compared)
	if exact {
		o.report.WriteString("  byte for byte")
	}
	o.report.WriteByte('\n')
}

// differs says how the encoder's answer differs from the oracle's, or nothing.
func differs(of *relay.Type, got, want []byte, exact bool) string {
	if exact && !bytes.Equal(got, want) {
		return "other bytes"
	}
	g, err := decode(got)
	if err != nil {
		return err.Error()
	}
	w, err := decode(want)
	if err != nil {
		return "the oracle is no JSON: " + err.Error()
	}
	if !reflect.DeepEqual(g, reference(of, w)) {
		return "another value"
	}
	return ""
}

func decode(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if decoder.More() {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}
