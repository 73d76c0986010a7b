package attach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/rule"
	"pgrelay/relay/warehouse"
)

// demand is what a leaf's old rows have to carry, and for which rules.
type demand struct {
	relation *relay.Relation
	leaf     relay.Leaf
	missing  []string // source columns
	rules    []string
}

// demands lists the leaves whose replica identity lacks columns that enabled rules read, in the relation's order.
func demands(r *relay.Relation, rules []relay.Rule) []demand {
	if r.InsertOnly {
		return nil
	}
	all := make([]demand, len(r.Leaves))
	for i, leaf := range r.Leaves {
		all[i] = demand{relation: r, leaf: leaf}
	}
	for i := range rules {
		if !concerns(&rules[i], r.Name) {
			continue
		}
		columns, err := rule.Reads(&rules[i], r)
		if err != nil {
			continue // pgrelay rules check says what is wrong with it
		}
		for l := range all {
			all[l].read(r, rules[i].Name, columns)
		}
	}
	return slices.DeleteFunc(all, func(d demand) bool { return len(d.missing) == 0 })
}

func concerns(r *relay.Rule, relation string) bool { return r.Enabled && r.Relation == relation }

func (d *demand) read(r *relay.Relation, rule string, columns []int) {
	lacks := false
	for _, column := range columns {
		source := r.Columns[column].Source
		if d.leaf.Full || slices.Contains(d.leaf.Key, source) {
			continue
		}
		lacks = true
		if !slices.Contains(d.missing, source) {
			d.missing = append(d.missing, source)
		}
	}
	if lacks {
		d.rules = append(d.rules, rule)
	}
}

const coveringSQL = `
select n.relname::text, array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k(number, position)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number where k.position <= i.indnkeyatts order by k.position)
from pg_index i join pg_class n on n.oid = i.indexrelid
where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indislive and i.indimmediate and i.indpred is null and i.indexprs is null
  and (select bool_and(a.attnotnull and a.attgenerated = '') from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1]))
order by i.indnkeyatts, i.indexrelid`

// covering is the smallest index that can be the leaf's identity and holds its key and what is missing; "" without one.
func (d *demand) covering(ctx context.Context, conn *pgx.Conn) (string, error) {
	rows, err := conn.Query(ctx, coveringSQL, d.leaf.OID)
	if err != nil {
		return "", fmt.Errorf("read indexes: %w", err)
	}
	best, name, columns := "", "", []string(nil)
	_, err = pgx.ForEachRow(rows, []any{&name, &columns}, func() error {
		lacks := func(c string) bool { return !slices.Contains(columns, c) }
		if best == "" && !slices.ContainsFunc(d.missing, lacks) && !slices.ContainsFunc(d.leaf.Key, lacks) {
			best = name
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read indexes: %w", err)
	}
	return best, nil
}

// planIdentity proposes an identity for a leaf: an index that is there, else FULL where it harms nothing and costs little.
func (w *work) planIdentity(ctx context.Context, d demand, into string) error {
	p, conn := w.plan, w.conn
	t := leafTable(d.leaf)
	why := []string{fmt.Sprintf("%s %s, which old rows don't carry with the identity that it has.", d.readers(), idents(d.missing)),
		"Whether an update or delete concerns who sees a row is decided on the old one; until then such rules show nothing."}
	if d.relation.Partitioned {
		why = append(why, "A partition that is made later is born without it: attach again then.")
	}
	index, err := d.covering(ctx, conn)
	if err != nil {
		return err
	}
	triggers := triggerLine(d.relation.Name)
	if index != "" {
		return w.identityStep(ctx, t, "using index "+relay.Ident(index), into, append(why, fmt.Sprintf("Index %s holds them and is unique: no more WAL than its columns, for each update and delete.", relay.Ident(index))))
	}
	if d.leaf.NoFull {
		p.undone(fmt.Sprintf("%s: %s %s, and replica identity FULL would make the application's own UPDATE and DELETE fail, because of its generated columns",
			t.name, d.readers(), idents(d.missing)), triggers)
		return nil
	}
	cost, err := estimate(ctx, conn, d.leaf.OID)
	if err != nil {
		return err
	}
	alternative := fmt.Sprintf("a unique index over %s, all of them not null, as identity: create unique index concurrently, then attach again", idents(slices.Concat(d.leaf.Key, d.missing)))
	if cost.perDay() > w.cfg.FullBudget {
		p.undone(fmt.Sprintf("%s: %s %s, for which its replica identity would have to be FULL, and %s", t.name, d.readers(), idents(d.missing), cost),
			alternative+"\nor "+triggers+fmt.Sprintf("\nor pgrelay attach --full-budget %d", cost.perDay()))
		return nil
	}
	return w.identityStep(ctx, t, "full", into, append(why, "FULL writes the old row to the WAL at each update and delete: "+cost.String()+".", "Instead: "+alternative, "or: "+triggers))
}

// identityStep changes an identity; clause is what follows replica identity, into the publication that the table is to be
// in, if it isn't yet.
func (w *work) identityStep(ctx context.Context, t table, clause, into string, why []string) error {
	proof, err := newProof(ctx, w.conn, t, into, true)
	if err != nil {
		return err
	}
	w.plan.step(Step{Title: fmt.Sprintf("replica identity %s of %s", clause, t.name), Why: why, proof: proof, busy: &t,
		Statements: []string{rememberIdentity(t, identityCode(clause)), fmt.Sprintf("alter table %s replica identity %s;", t.name, clause)}})
	return nil
}

// identityCode is pg_class.relreplident of a clause.
func identityCode(clause string) string {
	code, _, _ := strings.Cut(clause, " ")
	return map[string]string{"full": "f", "default": "d", "nothing": "n", "using": "i"}[code]
}

func (d *demand) readers() string {
	quoted := make([]string, len(d.rules))
	for i, r := range d.rules {
		quoted[i] = fmt.Sprintf("%q", r)
	}
	if len(quoted) == 1 {
		return "rule " + quoted[0] + " reads"
	}
	return "rules " + strings.Join(quoted, ", ") + " read"
}

func idents(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = relay.Ident(n)
	}
	return strings.Join(quoted, ", ")
}

// shellWord is a name as a POSIX shell reads it.
func shellWord(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == "" {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// ways are what a refusal for want of a replica identity offers: each a list of alter table … replica identity statements.
// A name with a line break in it makes a statement that isn't recognised, and so none of its way.
func ways(s warehouse.Skip) (all [][]string) {
	if !strings.Contains(s.Reason, "replica identity") {
		return nil
	}
	for way := range strings.SplitSeq(s.Remedy, "\nor\n") {
		lines := strings.Split(way, "\n")
		whole := func(line string) bool {
			return strings.HasPrefix(line, "alter table ") && strings.Contains(line, " replica identity ") && strings.HasSuffix(line, ";")
		}
		if !slices.ContainsFunc(lines, func(line string) bool { return !whole(line) }) {
			all = append(all, lines)
		}
	}
	return all
}
