package warehouse

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

// rawType is a row of pg_type with what belongs to it, before its references are resolved.
type rawType struct {
	oid, element, base uint32
	name               string
	kind, delimiter    string
	extension          bool
	labels             []string
	fields             []string
	fieldTypes         []uint32
}

// get_element_type's condition tells true arrays; int2vector and oidvector are among them, though their text form has
// spaces between the elements and no braces.
const typeSQL = `
select t.oid, pg_catalog.format_type(t.oid, null), t.typtype::text, t.typdelim::text,
  case when t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc then t.typelem else 0 end,
  case t.typtype when 'd' then t.typbasetype
    when 'r' then (select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid)
    when 'm' then (select r.rngsubtype from pg_catalog.pg_range r where r.rngmultitypid = t.oid)
    else 0 end,
  exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass and d.objid = t.oid and d.deptype = 'e'),
  array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = t.oid order by e.enumsortorder),
  array(select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid and t.typrelid <> 0 and a.attnum > 0 and not a.attisdropped order by a.attnum),
  array(select a.atttypid from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid and t.typrelid <> 0 and a.attnum > 0 and not a.attisdropped order by a.attnum)
from pg_catalog.pg_type t where t.oid = any($1::oid[])`

// readTypes loads the types of all attributes read, and those that they are made of, level by level.
func (k *catalog) readTypes(ctx context.Context, conn *pgx.Conn) error {
	raw := map[uint32]rawType{}
	wanted := map[uint32]bool{}
	for _, list := range k.attributes {
		for _, a := range list {
			wanted[a.typ] = true
		}
	}
	for len(wanted) > 0 {
		var ask []uint32
		for oid := range wanted {
			ask = append(ask, oid)
		}
		level, err := readTypeLevel(ctx, conn, ask)
		if err != nil {
			return err
		}
		clear(wanted)
		for _, t := range level {
			raw[t.oid] = t
		}
		for _, t := range level {
			for _, ref := range append([]uint32{t.element, t.base}, t.fieldTypes...) {
				if _, known := raw[ref]; ref != 0 && !known {
					wanted[ref] = true
				}
			}
		}
		if len(level) < len(ask) {
			break // a type was dropped meanwhile; its column is refused
		}
	}
	for oid := range raw {
		k.resolve(oid, raw)
	}
	return nil
}

func readTypeLevel(ctx context.Context, conn *pgx.Conn, oids []uint32) ([]rawType, error) {
	rows, err := conn.Query(ctx, typeSQL, oids)
	if err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	level, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t rawType, err error) {
		err = row.Scan(&t.oid, &t.name, &t.kind, &t.delimiter, &t.element, &t.base, &t.extension, &t.labels, &t.fields, &t.fieldTypes)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	return level, nil
}

// resolve links a type to those that it is made of. Postgres allows no type that holds itself.
func (k *catalog) resolve(oid uint32, raw map[uint32]rawType) *relay.Type {
	if t := k.types[oid]; t != nil || oid == 0 {
		return t
	}
	r, ok := raw[oid]
	if !ok {
		return nil
	}
	t := &relay.Type{OID: oid, Name: r.name, Kind: relay.Kind(r.kind[0]), Delimiter: r.delimiter[0], Extension: r.extension,
		Element: k.resolve(r.element, raw), Base: k.resolve(r.base, raw)}
	if t.Kind == relay.KindEnum {
		t.Labels = r.labels
	}
	stamp := []string{fmt.Sprint(oid), r.name, r.kind, strings.Join(quoteAll(t.Labels), ",")}
	for _, ref := range []uint32{r.element, r.base} {
		stamp = append(stamp, k.typeStamps[ref])
	}
	for i, name := range r.fields {
		field := relay.Field{Name: name, Type: k.resolve(r.fieldTypes[i], raw)}
		t.Fields = append(t.Fields, field)
		stamp = append(stamp, fmt.Sprintf("%q", name), k.typeStamps[r.fieldTypes[i]])
	}
	k.types[oid], k.typeStamps[oid] = t, digest(stamp...)
	return t
}

// whole tells whether every type that t is made of was read.
func whole(t *relay.Type) bool {
	if t == nil {
		return false
	}
	switch t.Kind {
	case relay.KindDomain, relay.KindRange, relay.KindMultirange:
		return whole(t.Base)
	case relay.KindComposite:
		return !slices.ContainsFunc(t.Fields, func(f relay.Field) bool { return !whole(f.Type) })
	}
	return t.Element == nil || whole(t.Element)
}

func quoteAll(list []string) []string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return quoted
}
