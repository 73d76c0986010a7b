package value

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// catalog reads types as a source's catalog describes them, each once.
type catalog struct {
	conn  *pgx.Conn
	types map[uint32]*relay.Type
}

const typeQuery = `
select pg_catalog.format_type(t.oid, null), t.typtype, t.typdelim,
       case when t.typsubscript = 'array_subscript_handler'::regproc then t.typelem else 0 end,
       t.typbasetype, t.typrelid,
       exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
from pg_type t where t.oid = $1`

const attributeQuery = `
select attname, atttypid from pg_attribute where attrelid = $1 and attnum > 0 and not attisdropped order by attnum`

// load returns the type with this oid, with all that it is made of.
func (c *catalog) load(ctx context.Context, oid uint32) (*relay.Type, error) {
	if oid == 0 {
		return nil, nil
	}
	if t, ok := c.types[oid]; ok {
		return t, nil
	}
	t := &relay.Type{OID: oid}
	c.types[oid] = t
	var kind, delimiter byte
	var element, base, relation uint32
	err := c.conn.QueryRow(ctx, typeQuery, oid).Scan(&t.Name, &kind, &delimiter, &element, &base, &relation, &t.Extension)
	if err != nil {
		return nil, fmt.Errorf("read type %d: %w", oid, err)
	}
	t.Kind, t.Delimiter = relay.Kind(kind), delimiter
	if t.Element, err = c.load(ctx, element); err != nil {
		return nil, err
	}
	if t.Base, err = c.load(ctx, base); err != nil {
		return nil, err
	}
	return t, c.loadFields(ctx, t, relation)
}

func (c *catalog) loadFields(ctx context.Context, t *relay.Type, relation uint32) error {
	if relation == 0 {
		return nil
	}
	rows, err := c.conn.Query(ctx, attributeQuery, relation)
	if err != nil {
		return fmt.Errorf("read attributes of %s: %w", t.Name, err)
	}
	var names []string
	var oids []uint32
	var name string
	var oid uint32
	if _, err := pgx.ForEachRow(rows, []any{&name, &oid}, func() error {
		names, oids = append(names, name), append(oids, oid)
		return nil
	}); err != nil {
		return fmt.Errorf("read attributes of %s: %w", t.Name, err)
	}
	for i, oid := range oids {
		of, err := c.load(ctx, oid)
		if err != nil {
			return err
		}
		t.Fields = append(t.Fields, relay.Field{Name: names[i], Type: of})
	}
	return nil
}
