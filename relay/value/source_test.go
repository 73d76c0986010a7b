package value

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// insert makes the table, a row for each value: the edge cases, and n random ones at least. It returns the number of rows.
func (o *oracle) insert(t *testing.T, table string, samples []sample, n int) int {
	t.Helper()
	edges := 0
	for _, s := range samples {
		edges = max(edges, len(s.edges))
	}
	n += edges
	var columns, casts, params, names []string
	var values []any
	for i, s := range samples {
		r := rand.New(rand.NewPCG(uint64(o.seed), uint64(len(s.of))<<32|uint64(i)))
		texts := append(make([]string, 0, n), s.edges...)
		for len(texts) < n {
			texts = append(texts, s.random(r))
		}
		columns = append(columns, fmt.Sprintf("c%d %s", i, s.of))
		casts = append(casts, fmt.Sprintf("c%d::%s", i, s.of))
		names = append(names, fmt.Sprintf("c%d", i))
		params = append(params, fmt.Sprintf("$%d::text[]", i+1))
		values = append(values, texts)
	}
	o.exec(t, fmt.Sprintf("create table %s (id int primary key, %s)", table, strings.Join(columns, ", ")))
	_, err := o.conn.Exec(t.Context(), fmt.Sprintf("insert into %s select id, %s from unnest(%s) with ordinality u(%s, id)",
		table, strings.Join(casts, ", "), strings.Join(params, ", "), strings.Join(names, ", ")), values...)
	if err != nil {
		t.Fatalf("insert into %s (%s): %v", table, strings.Join(columns, ", "), err)
	}
	return n
}

// query returns for each row the text of each column, and what to_json gives for it.
func (o *oracle) query(t *testing.T, table string, samples []sample) [][][]byte {
	t.Helper()
	var columns []string
	for i, s := range samples {
		expression := s.oracle
		if expression == "" {
			expression = "to_json(%s)"
		}
		name := fmt.Sprintf("c%d", i)
		columns = append(columns, name, fmt.Sprintf(expression, name))
	}
	results, err := o.conn.PgConn().Exec(t.Context(),
		fmt.Sprintf("select %s from %s order by id", strings.Join(columns, ", "), table)).ReadAll()
	if err != nil {
		t.Fatalf("read %s: %v", table, err)
	}
	return results[0].Rows
}

// stream returns the tuples that the slot has and moves it on.
func (o *oracle) stream(t *testing.T) [][]relay.Value {
	t.Helper()
	const sql = `select data from pg_logical_slot_peek_binary_changes('stream', null, null,
		'proto_version', '1', 'publication_names', 'everything')`
	rows, err := o.conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	var tuples [][]relay.Value
	var data []byte
	if _, err := pgx.ForEachRow(rows, []any{&data}, func() error {
		if data[0] != 'I' {
			return nil
		}
		// An insert is its tag, the relation's oid, 'N' and the tuple.
		values, rest, err := relay.Tuple(bytes.Clone(data[6:])).Values(nil)
		if err == nil && len(rest) > 0 {
			err = relay.ErrTuple
		}
		tuples = append(tuples, values)
		return err
	}); err != nil {
		t.Fatalf("read the slot: %v", err)
	}
	o.exec(t, "select pg_replication_slot_advance('stream', pg_current_wal_insert_lsn())")
	return tuples
}
