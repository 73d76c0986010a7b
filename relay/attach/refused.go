package attach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
)

// refused is a table that lacks the replica identity which would let it be published.
type refused struct {
	warehouse.Skip
	// relation has leaves of their oids and names alone.
	relation *relay.Relation
	ways     [][]string
}

// unseen begins the reason for which a table that triggers capture is refused where they are missing or altered.
const unseen = "its changes can't be seen"

// refuse says what is to be done about a table that can't be published as it is.
func (w *work) refuse(ctx context.Context, s warehouse.Skip) error {
	text := fmt.Sprintf("%s isn't published: %s", s.Name, s.Reason)
	needed := len(w.rulesOf(s.Name)) > 0 || w.named(s.Name)
	r := refused{Skip: s, ways: ways(s)}
	identity := strings.Contains(s.Reason, "replica identity")
	var err error
	if r.relation, err = w.bare(ctx, s.Name); err != nil {
		return err
	}
	switch {
	case w.facts.schema.captured[r.relation.OID] && w.byTrigger(s.Name, r.relation.OID) && strings.HasPrefix(s.Reason, unseen):
		w.trigger = append(w.trigger, r.relation)
	case identity && w.byTrigger(s.Name, r.relation.OID):
		w.trigger = append(w.trigger, r.relation)
	case len(r.ways) > 0 && needed:
		w.refused = append(w.refused, r)
	case identity && needed:
		w.plan.undone(text, s.Remedy+"\nor "+triggerLine(s.Name))
	case needed:
		w.plan.undone(text, s.Remedy)
	case identity:
		w.plan.note(text+"; no rule concerns it", s.Remedy+"\nor pgrelay attach --table "+shellWord(s.Name))
	default:
		w.plan.note(text, s.Remedy)
	}
	return nil
}

// triggerLine is the command that captures a table by triggers.
func triggerLine(name string) string {
	return fmt.Sprintf("pgrelay attach --capture trigger --table %s   # its identity stays as it is", shellWord(name))
}

const bareSQL = `
select l.oid, l.relnamespace::regnamespace::text, n.nspname::text, l.relname::text, c.oid, c.relkind = 'p'
from pg_class c join pg_namespace cn on cn.oid = c.relnamespace
join pg_class l on l.oid = c.oid and c.relkind <> 'p' or l.oid in (select t.relid from pg_partition_tree(c.oid) t where t.isleaf and t.relid <> c.oid)
join pg_namespace n on n.oid = l.relnamespace
where cn.nspname = $1 and c.relname = $2 order by l.oid`

// bare is a relation of which the leaves' names and oids alone are known.
func (w *work) bare(ctx context.Context, table string) (*relay.Relation, error) {
	at := w.names[table]
	r := &relay.Relation{Name: table, Capture: relay.CaptureLogical, Schema: at.schema, Table: at.table}
	rows, err := w.conn.Query(ctx, bareSQL, at.schema, at.table)
	if err != nil {
		return nil, fmt.Errorf("read the partitions of %s: %w", table, err)
	}
	leaf := relay.Leaf{Full: true} // once its identity is made
	var quoted string
	_, err = pgx.ForEachRow(rows, []any{&leaf.OID, &quoted, &leaf.Schema, &leaf.Table, &r.OID, &r.Partitioned}, func() error {
		r.Leaves = append(r.Leaves, leaf)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the partitions of %s: %w", table, err)
	}
	return r, nil
}

// planRefused proposes one of the ways. What the rules of a table without any identity read can't be asked for before it has
// one: a rule that shows more than all or nothing gets FULL, where that is among the ways.
func (w *work) planRefused(ctx context.Context, r refused, into func(uint32) string) error {
	rules := w.rulesOf(r.Name)
	way := r.ways[0]
	reads := slices.ContainsFunc(rules, func(r relay.Rule) bool { return strings.TrimSpace(r.Predicate) != "true" })
	for _, other := range r.ways {
		if reads && strings.HasSuffix(other[0], " replica identity full;") {
			way = other
		}
	}
	for _, statement := range way {
		at := strings.LastIndex(statement, " replica identity ")
		t := table{name: strings.TrimPrefix(statement[:at], "alter table ")}
		clause := strings.TrimSuffix(statement[at+len(" replica identity "):], ";")
		if err := w.conn.QueryRow(ctx, `select coalesce($1::text::regclass::oid, 0)`, t.name).Scan(&t.oid); err != nil {
			return fmt.Errorf("find table %s: %w", t.name, err)
		}
		why := []string{r.Reason + "."}
		if clause == "full" {
			c, err := estimate(ctx, w.conn, t.oid)
			if err != nil {
				return err
			}
			if c.perDay() > w.cfg.FullBudget {
				w.plan.undone(fmt.Sprintf("%s isn't published: its replica identity would have to be FULL, %s", r.Name, c),
					r.Remedy+"\nor "+triggerLine(r.Name)+fmt.Sprintf("\nor pgrelay attach --full-budget %d", c.perDay()))
				return nil
			}
			why = append(why, "FULL writes the old row to the WAL at each update and delete: "+c.String()+".")
		}
		why = append(why, "Instead: "+strings.ReplaceAll(w.others(r, way), "\n", " "), "or: "+triggerLine(r.Name))
		if err := w.identityStep(ctx, t, clause, into(t.oid), why); err != nil {
			return err
		}
	}
	w.logical = append(w.logical, r.relation)
	return nil
}

// others are the ways that weren't taken.
func (w *work) others(r refused, taken []string) string {
	var rest []string
	for way := range strings.SplitSeq(r.Remedy, "\nor\n") {
		if way != strings.Join(taken, "\n") {
			rest = append(rest, way)
		}
	}
	return strings.Join(rest, " or: ")
}
