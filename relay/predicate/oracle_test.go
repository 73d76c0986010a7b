package predicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

// The environment variables of the long form: how many pairs of a predicate and a row for each version, and the seed.
const (
	envPairs = "PGRELAY_PREDICATES"
	envSeed  = "PGRELAY_PREDICATES_SEED"
)

func setting(t testing.TB, name string, standard int) int {
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

const schema = `
create schema shop;
create type shop.status as enum ('open', 'shipped', 'closed', 'Very late');
create collation shop.loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
create domain shop.positive as int check (value > 0);
create domain shop.label as text check (length(value) < 20);
create function shop.decide(predicate text, n int) returns setof text language plpgsql as $$
declare answer text;
begin
  for i in 1..n loop
    begin
      execute 'select (' || predicate || E'\n)::text from shop.t where id = $1' into answer using i;
      return next coalesce(answer, 'null');
    exception when others then
      return next 'error ' || sqlstate;
    end;
  end loop;
end $$;
`

// world is a server with a table of every sample, and the same rows here.
type world struct {
	conn     *pgx.Conn
	encoding string
	relation *relay.Relation
	rows     [][]relay.Value
	claims   []string
}

func newWorld(t testing.TB, version, rows int, seed uint64) *world {
	t.Helper()
	return encodedWorld(t, version, rows, seed, "UTF8")
}

// encodedWorld is one in a database of that encoding; values that it has no characters for are null.
func encodedWorld(t testing.TB, version, rows int, seed uint64, encoding string) *world {
	t.Helper()
	server := pgserver.ForTest(t, pgserver.Config{Version: version, Settings: map[string]string{"log_min_messages": "fatal"}})
	create := "create database oracle template template0 lc_collate 'C' lc_ctype 'C' encoding '" + encoding + "'"
	database := "postgres"
	if encoding != "UTF8" {
		database = "oracle"
		if err := server.Exec(t.Context(), "postgres", create); err != nil {
			t.Fatal(err)
		}
	}
	config, err := pgx.ParseConfig(server.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(config.RuntimeParams, map[string]string{
		"DateStyle": "ISO", "TimeZone": "UTC", "IntervalStyle": "postgres", "extra_float_digits": "1",
		"bytea_output": "hex", "search_path": "pg_catalog", "client_encoding": "UTF8", "jit": "off",
	})
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	w := &world{conn: conn, encoding: encoding}
	schema := schema
	if encoding != "UTF8" {
		// ICU has its own idea of which encodings there are.
		schema = strings.Replace(schema, "(provider = icu, locale = 'und-u-ks-level1', deterministic = false)", `from "C"`, 1)
	}
	w.exec(t, schema)
	var columns []string
	for _, s := range samples {
		columns = append(columns, s.column+" "+s.of)
	}
	w.exec(t, "create table shop.t (id int primary key, "+strings.Join(columns, ", ")+", claims jsonb)")
	g := generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	for i := range rows {
		values := []string{strconv.Itoa(i + 1)}
		for _, v := range g.row() {
			if v == "\x00" || !w.has(t.Context(), v) {
				values = append(values, "null")
			} else {
				values = append(values, quote(v))
			}
		}
		c := claims[i%len(claims)]
		w.claims = append(w.claims, c)
		w.exec(t, "insert into shop.t values ("+strings.Join(append(values, quote(c)), ", ")+")")
	}
	w.read(t)
	return w
}

// has tells whether the encoding has the text's characters.
func (w *world) has(ctx context.Context, text string) bool {
	if ascii(text) {
		return true
	}
	_, err := w.conn.Exec(ctx, "select "+quote(text))
	return err == nil
}

func (w *world) exec(t testing.TB, sql string) {
	t.Helper()
	if _, err := w.conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%.200s: %v", sql, err)
	}
}

// read takes the relation and the rows from the catalog and the table.
func (w *world) read(t testing.TB) {
	t.Helper()
	types := map[uint32]*relay.Type{}
	w.relation = &relay.Relation{Name: "shop.t", Schema: "shop", Table: "t", Encoding: w.encoding}
	rows, err := w.conn.Query(t.Context(), `select attname, atttypid,
		coalesce(case when collnamespace <> 11 then 'shop.' end || collname, collname::text, ''), not coalesce(collisdeterministic, true)
		from pg_attribute left join pg_collation l on l.oid = attcollation and collprovider <> 'd' where attrelid = 'shop.t'::regclass and attnum > 1 and attname <> 'claims' order by attnum`)
	if err != nil {
		t.Fatal(err)
	}
	var c relay.Column
	var oid uint32
	var oids []uint32
	if _, err := pgx.ForEachRow(rows, []any{&c.Name, &oid, &c.Collation, &c.Nondeterministic}, func() error {
		c.Source = c.Name
		w.relation.Columns = append(w.relation.Columns, c)
		oids = append(oids, oid)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, oid := range oids {
		w.relation.Columns[i].Type = w.typeOf(t, types, oid)
		names = append(names, w.relation.Columns[i].Name)
	}
	results, err := w.conn.PgConn().Exec(t.Context(), "select "+strings.Join(names, ", ")+" from shop.t order by id").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, texts := range results[0].Rows {
		var row []relay.Value
		for _, text := range texts {
			v := relay.Value{Kind: relay.ValueNull}
			if text != nil {
				v = relay.Value{Kind: relay.ValueText, Text: text}
			}
			row = append(row, v)
		}
		w.rows = append(w.rows, row)
	}
}

func (w *world) typeOf(t testing.TB, known map[uint32]*relay.Type, oid uint32) *relay.Type {
	t.Helper()
	if oid == 0 {
		return nil
	}
	if k := known[oid]; k != nil {
		return k
	}
	n := &relay.Type{OID: oid, Delimiter: ','}
	var kind string
	var elem, base uint32
	err := w.conn.QueryRow(t.Context(), `select format_type(t.oid, null), typtype::text,
		case when typsubscript = 'array_subscript_handler'::regproc then typelem else 0 end,
		coalesce((select rngsubtype from pg_range where rngtypid = t.oid), typbasetype),
		array(select enumlabel::text from pg_enum where enumtypid = t.oid order by enumsortorder)
		from pg_type t where oid = $1`, oid).Scan(&n.Name, &kind, &elem, &base, &n.Labels)
	if err != nil {
		t.Fatal(err)
	}
	n.Kind = relay.Kind(kind[0])
	known[oid] = n
	n.Element, n.Base = w.typeOf(t, known, elem), w.typeOf(t, known, base)
	return n
}

// ask evaluates a predicate for all rows on the server; the error is the server's refusal of the predicate as a whole.
func (w *world) ask(ctx context.Context, text string) ([]string, error) {
	answers, err := w.answers(ctx, "select coalesce(("+text+"\n)::text, 'null') from shop.t order by id")
	if err == nil {
		return answers, nil
	}
	if _, planned := w.answers(ctx, "explain select ("+text+"\n) from shop.t where id = 1"); planned != nil {
		return nil, planned
	}
	return w.answers(ctx, fmt.Sprintf("select shop.decide(%s, %d)", quote(text), len(w.rows)))
}

// takes tells whether the server takes the predicate behind WHERE.
func (w *world) takes(ctx context.Context, text string) bool {
	_, err := w.answers(ctx, "explain select from shop.t where ("+text+"\n)")
	return err == nil
}

func (w *world) answers(ctx context.Context, sql string) ([]string, error) {
	results, err := w.conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var answers []string
	for _, row := range results[0].Rows {
		answers = append(answers, string(row[0]))
	}
	return answers, nil
}

// tally counts what was compared.
type tally struct {
	outcomes map[string]int
	refusals map[string]int
	pairs    int
	codes    int
}

// TestOracle compares random predicates on random rows with Postgres: the same truth value, an error where Postgres
// raises one; rejected what Postgres rejects. What is refused is counted by its reason.
func TestOracle(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			seed := setting(t, envSeed, 1)
			pairs := setting(t, envPairs, 20000)
			w := newWorld(t, version, 40, uint64(seed))
			g := generator{Rand: rand.New(rand.NewPCG(uint64(seed), 2))}
			count := &tally{outcomes: map[string]int{}, refusals: map[string]int{}}
			began := time.Now()
			wrong := 0
			for count.pairs < pairs && wrong < 25 {
				if !w.compare(t, g.predicate(), count) {
					wrong++
				}
			}
			t.Logf("seed %d, %d pairs in %s, %d errors with another SQLSTATE\n%s\nrefused:\n%s", seed, count.pairs, time.Since(began).Round(time.Second),
				count.codes, list(count.outcomes), list(count.refusals))
		})
	}
}

// TestOracleEncodings compares under server encodings other than UTF8.
func TestOracleEncodings(t *testing.T) {
	for i, encoding := range []string{"LATIN1", "LATIN2", "WIN1251", "EUC_JP"} {
		t.Run(encoding, func(t *testing.T) {
			seed, pairs := setting(t, envSeed, 1), setting(t, envPairs, 20000)/4
			w := encodedWorld(t, []int{15, 18}[i%2], 40, uint64(seed), encoding)
			g := generator{Rand: rand.New(rand.NewPCG(uint64(seed), 2))}
			count := &tally{outcomes: map[string]int{}, refusals: map[string]int{}}
			for count.pairs < pairs && !t.Failed() {
				w.compare(t, g.predicate(), count)
			}
			t.Logf("seed %d\n%s\nrefused:\n%s", seed, list(count.outcomes), list(count.refusals))
		})
	}
}

func list(counts map[string]int) string {
	var b strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(x, y string) int { return counts[y] - counts[x] }) {
		fmt.Fprintf(&b, "%8d %s\n", counts[k], k)
	}
	return b.String()
}

func (w *world) compare(t *testing.T, text string, count *tally) bool {
	t.Helper()
	p, err := Compile(text, w.relation, Options{Claims: true})
	want, rejected := w.ask(t.Context(), text)
	var lacks *pgconn.PgError
	if errors.As(rejected, &lacks) && lacks.Code == "22P05" && w.encoding != "UTF8" {
		count.outcomes["predicate with characters that the encoding lacks"]++
		return true
	}
	var e *Error
	if errors.As(err, &e) {
		switch {
		case e.Refused && e.Hint == "":
			t.Errorf("%s\nrefused without a way out: %v", text, e)
			return false
		case e.Refused:
			count.outcomes["predicate refused"]++
			count.refusals[e.Reason]++
			return true
		case rejected == nil && w.takes(t.Context(), text):
			t.Errorf("%s\nrejected: %v; Postgres takes it", text, e)
			return false
		}
		count.outcomes["predicate rejected by both"]++
		return true
	}
	var server *pgconn.PgError
	if errors.As(rejected, &server) && server.Code == "XX000" {
		// Postgres 18 fails to plan a constant range that contains a costly expression: "no relation entry for relid 1".
		count.outcomes["predicate that Postgres fails to plan"]++
		return true
	}
	if rejected != nil {
		t.Errorf("%s\nPostgres rejects it: %v", text, rejected)
		return false
	}
	count.outcomes["predicate compared"]++
	ok := w.compareSafe(t, p, text, want, count) && w.compareKeys(t, p, count) && w.compareExplained(t, p, want)
	for i, row := range w.rows {
		b, err := p.Bind(json.RawMessage(w.claims[i]), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, fault := b.Eval(row)
		if constant, is := b.Constant(); is {
			count.outcomes["row of a constant"]++
			if constant != got {
				t.Errorf("%s\nrow %d: got %v, which is constant %v", text, i+1, got, constant)
			}
		}
		answer, code, _ := strings.Cut(want[i], " ")
		count.pairs++
		switch {
		case fault != nil && fault.inexact() && answer != "error":
			count.outcomes["row inexact (an error here)"]++
			count.refusals["row: "+fault.Message]++
			continue
		case got.String() != answer:
			t.Errorf("%s\nrow %d: got %v %v, want %s", text, i+1, got, fault, want[i])
			ok = false
		case fault != nil && fault.Code != code && !fault.inexact():
			count.codes++
		}
		count.outcomes[answer]++
		if !ok {
			break
		}
	}
	return ok
}

// compareSafe tries what serves an index and the snapshot, for one of the claims: the SQL raises no error and returns
// every row for which the predicate is true, and each of these rows has one of the values of each equality; of an exact one
// no other row has it.
func (w *world) compareSafe(t *testing.T, p *Predicate, text string, want []string, count *tally) bool {
	t.Helper()
	which := count.outcomes["predicate compared"] % len(claims)
	b, err := p.Bind(json.RawMessage(claims[which]), nil)
	if err != nil {
		t.Fatal(err)
	}
	returned := map[int]bool{}
	sql, args := b.SafeSQL(1)
	if sql != "" {
		count.outcomes["predicate with SQL that can't raise"]++
		var values [][]byte
		for _, arg := range args {
			values = append(values, []byte(arg))
		}
		r := w.conn.PgConn().ExecParams(t.Context(), "select id from shop.t where "+sql, values, nil, nil, nil).Read()
		if r.Err != nil {
			t.Errorf("%s\nsafe: %s %q: %v", text, sql, args, r.Err)
			return false
		}
		for _, row := range r.Rows {
			id, _ := strconv.Atoi(string(row[0]))
			returned[id] = true
		}
	}
	covers := b.Covers()
	if len(covers) > 0 {
		count.outcomes["predicate with covers"]++
	}
	exact := b.Exact()
	if exact {
		count.outcomes["exact predicate"]++
	}
	for i := which; i < len(want); i += len(claims) {
		if exact && want[i] != "true" && fulfils(w.rows[i], covers[0][0]) {
			t.Errorf("%s\n%+v says that row %d is visible", text, covers, i+1)
			return false
		}
		if want[i] != "true" {
			continue
		}
		if sql != "" && !returned[i+1] {
			t.Errorf("%s\nsafe: %s %q leaves out row %d", text, sql, args, i+1)
			return false
		}
		if _, fault := b.Eval(w.rows[i]); fault != nil && fault.inexact() {
			continue
		}
		for _, cover := range covers {
			if !slices.ContainsFunc(cover, func(e relay.Equality) bool { return fulfils(w.rows[i], e) }) {
				t.Errorf("%s\n%+v says that row %d isn't visible", text, cover, i+1)
				return false
			}
		}
	}
	return true
}

// compareKeys: bindings with one key decide every row alike.
func (w *world) compareKeys(t *testing.T, p *Predicate, count *tally) bool {
	t.Helper()
	bound := map[string]*Bound{}
	for _, c := range claims {
		b, err := p.Bind(json.RawMessage(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		other := bound[b.Key()]
		bound[b.Key()] = b
		if other == nil || !p.Claims() {
			continue
		}
		count.outcomes["bindings with the key of another"]++
		for i, row := range w.rows {
			got, _ := b.Eval(row)
			if want, _ := other.Eval(row); got != want {
				t.Errorf("%s\nrow %d with key %q: got %v, want %v", p, i+1, b.Key(), got, want)
				return false
			}
		}
	}
	return true
}

// compareExplained: for one row, the conjuncts, each compiled by itself, are those of the predicate: it is true where all of
// them are.
func (w *world) compareExplained(t *testing.T, p *Predicate, want []string) bool {
	t.Helper()
	i := len(p.String()) % len(want)
	b, err := p.Bind(json.RawMessage(w.claims[i]), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, pushed := true, false
	for _, c := range b.Explain(w.rows[i]) {
		pushed = pushed || c.Pushed
		one, err := Compile(c.Text, w.relation, Options{Claims: true})
		var e *Error
		if errors.As(err, &e) && !e.Refused && c.Truth == Failed {
			continue // a constant that raises an error, and that the planner dropped behind one that decides
		}
		if err != nil {
			t.Errorf("%s\nits conjunct %q: %v", p, c.Text, err)
			return false
		}
		bound, err := one.Bind(json.RawMessage(w.claims[i]), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, fault := bound.Eval(w.rows[i]); got != c.Truth {
			t.Errorf("%s\nits conjunct %q is explained as %v, evaluated as %v %v", p, c.Text, c.Truth, got, fault)
			return false
		}
		if c.Fault != nil && c.Fault.inexact() {
			return true
		}
		all = all && c.Truth == True
	}
	constant, is := b.Constant()
	if sql, _ := b.SafeSQL(1); !is && pushed != (sql != "") || is && constant == False && !pushed {
		t.Errorf("%s\nits conjuncts are explained as pushed: %v, but its SQL is %q", p, pushed, sql)
		return false
	}
	if all != (want[i] == "true") {
		t.Errorf("%s\nrow %d: all its conjuncts true: %v, but it is %s", p, i+1, all, want[i])
	}
	return all == (want[i] == "true")
}

func fulfils(row []relay.Value, e relay.Equality) bool {
	return row[e.Column].Kind == relay.ValueText && slices.Contains(e.Values, string(row[e.Column].Text))
}
