package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// pinRow pins what the text form of a value depends on, as it is in a snapshot; with row_security off a policy that
// would hide the row is an error.
var pinRow = relay.SetLocal(relay.TextSettings) + "set local row_security to 'off'; set local lock_timeout to '2s'"

// Row is the row that a JSON object describes by the relation's column names, by its columns, with values as the table's
// own server reads and prints them; a column that the object doesn't name is relay.ValueUnchanged. A value is what a row
// of the protocol or of to_json has there, or the text of a literal; null is SQL's null, for json and jsonb too.
// https://www.postgresql.org/docs/current/functions-json.html (json_to_record)
func (t Table) Row(ctx context.Context, object json.RawMessage) ([]relay.Value, error) {
	values, err := t.members(object)
	if err != nil {
		return nil, err
	}
	var row []relay.Value
	err = t.reading(ctx, func(tx pgx.Tx) (err error) {
		row, err = t.convert(ctx, tx, values)
		return err
	})
	return row, err
}

// Find is the table's row that has the values which a JSON object gives, read at its source. None, and more than one, are
// errors.
func (t Table) Find(ctx context.Context, object json.RawMessage) ([]relay.Value, error) {
	values, err := t.members(object)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, &relay.Problem{What: "the row's key is empty", Remedy: fmt.Sprintf(`name its columns and their values: {"%s": …}`, t.keyExample())}
	}
	var row []relay.Value
	err = t.reading(ctx, func(tx pgx.Tx) error {
		key, err := t.convert(ctx, tx, values)
		if err != nil {
			return err
		}
		row, err = t.find(ctx, tx, key, values)
		return err
	})
	return row, err
}

func (t Table) keyExample() string {
	if key := t.Relation.KeyNames(); len(key) > 0 {
		return key[0]
	}
	return t.Relation.Columns[0].Name
}

// members are the object's values by column.
func (t Table) members(object json.RawMessage) (map[int]json.RawMessage, error) {
	var byName map[string]json.RawMessage
	if err := json.Unmarshal(object, &byName); err != nil || byName == nil {
		return nil, &relay.Problem{What: "the row is no JSON object", Remedy: fmt.Sprintf(`write it as {"%s": …, …}`, t.keyExample())}
	}
	values := make(map[int]json.RawMessage, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		at := t.Relation.Column(name)
		if at < 0 {
			return nil, t.unknownColumn(name)
		}
		values[at] = byName[name]
	}
	return values, nil
}

func (t Table) unknownColumn(name string) error {
	names := make([]string, len(t.Relation.Columns))
	for i := range names {
		names[i] = t.Relation.Columns[i].Name
	}
	p := &relay.Problem{What: fmt.Sprintf("%s has no column %s", t.Relation.Name, relay.Ident(name)), Remedy: "its columns are " + strings.Join(names, ", ")}
	if near := near(name, names); len(near) > 0 {
		p.Remedy = "did you mean " + strings.Join(near, " or ") + "? " + p.Remedy
	}
	return p
}

// reading runs f in a transaction at the source that can write nothing.
func (t Table) reading(ctx context.Context, f func(pgx.Tx) error) error {
	conn, err := pgx.ConnectConfig(ctx, t.Source.Conn.Copy())
	if err != nil {
		return fmt.Errorf("connect to source %s: %w", t.Source.Name, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("read at source %s: %w", t.Source.Name, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, pinRow); err != nil {
		return fmt.Errorf("pin the session's settings: %w", err)
	}
	return f(tx)
}

// convert has the server read each value for its column's type and print it.
func (t Table) convert(ctx context.Context, tx pgx.Tx, values map[int]json.RawMessage) ([]relay.Value, error) {
	row := make([]relay.Value, len(t.Relation.Columns))
	for i := range row {
		row[i].Kind = relay.ValueUnchanged
	}
	for _, at := range slices.Sorted(maps.Keys(values)) {
		c := &t.Relation.Columns[at]
		query := "select v from pg_catalog.json_to_record($1::pg_catalog.json) as r(v " + c.TypeName + ")"
		got, err := texts(ctx, tx, query, []byte(`{"v": `+string(values[at])+`}`))
		if err != nil {
			return nil, &relay.Problem{What: fmt.Sprintf("column %s (%s): %s", relay.Ident(c.Name), c.TypeName, message(err)),
				Remedy: "give the value as the protocol shows it, or as a string with what a literal of the type would be"}
		}
		row[at] = got[0][0]
	}
	return row, nil
}

// find reads the row that has the values.
func (t Table) find(ctx context.Context, tx pgx.Tx, key []relay.Value, values map[int]json.RawMessage) ([]relay.Value, error) {
	r := t.Relation
	columns := make([]string, len(r.Columns))
	var conditions, said []string
	var args [][]byte
	for i := range r.Columns {
		c := &r.Columns[i]
		columns[i] = relay.Ident(c.Source)
		switch key[i].Kind {
		case relay.ValueNull:
			conditions = append(conditions, columns[i]+" is null")
		case relay.ValueText:
			args = append(args, key[i].Text)
			conditions = append(conditions, fmt.Sprintf("%s = $%d::%s", columns[i], len(args), c.TypeName))
		default:
			continue
		}
		said = append(said, relay.Ident(c.Name)+" = "+string(values[i]))
	}
	from := relay.Ident(r.Schema, r.Table)
	if !r.Partitioned {
		from = "only " + from
	}
	query := "select " + strings.Join(columns, ", ") + " from " + from + " where " + strings.Join(conditions, " and ") + " limit 2"
	rows, err := texts(ctx, tx, query, args...)
	switch what := strings.Join(said, " and "); {
	case err != nil:
		return nil, fmt.Errorf("read the row of %s: %s", r.Name, message(err))
	case len(rows) == 0:
		return nil, &relay.Problem{What: fmt.Sprintf("no row of %s has %s", r.Name, what), Remedy: "describe a row that isn't there as JSON instead"}
	case len(rows) > 1:
		return nil, &relay.Problem{What: fmt.Sprintf("several rows of %s have %s", r.Name, what), Remedy: "name the columns of the key: " + strings.Join(r.KeyNames(), ", ")}
	}
	return rows[0], nil
}

// texts runs a query and returns its rows in text form.
func texts(ctx context.Context, tx pgx.Tx, query string, args ...[]byte) ([][]relay.Value, error) {
	result := tx.Conn().PgConn().ExecParams(ctx, query, args, nil, nil, nil)
	var rows [][]relay.Value
	for result.NextRow() {
		row := make([]relay.Value, len(result.Values()))
		for i, v := range result.Values() {
			row[i].Kind = relay.ValueNull
			if v != nil {
				row[i] = relay.Value{Kind: relay.ValueText, Text: slices.Clone(v)}
			}
		}
		rows = append(rows, row)
	}
	_, err := result.Close()
	return rows, err
}

// message is the server's own, where there is one.
func message(err error) string {
	var p *pgconn.PgError
	if !errors.As(err, &p) {
		return err.Error()
	}
	if p.Detail != "" {
		return p.Message + " (" + p.Detail + ")"
	}
	return p.Message
}
