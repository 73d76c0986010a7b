package attach

import (
	"context"
	"fmt"
	"strings"

	"pgrelay/relay"
	"pgrelay/relay/warehouse"
	"pgrelay/triggers"
)

// outboxSQL: is the outbox of this version, and may the relay's role read it.
const outboxSQL = `
with grantee as (select coalesce((select rolname::text from pg_roles where rolname = $2), 'public') as name)
select (select version from relay.state) = $1, has_schema_privilege(g.name, 'relay', 'USAGE') and has_table_privilege(g.name, 'relay.state', 'SELECT') from grantee g`

// planTriggers plans what captures the tables by triggers.
func (w *work) planTriggers(ctx context.Context) error {
	if len(w.trigger)+len(w.foreign) == 0 {
		return nil
	}
	current, reads := false, false
	if w.facts.schema.installed {
		err := w.conn.QueryRow(ctx, outboxSQL, triggers.Version, w.plan.place.role).Scan(&current, &reads)
		if err != nil {
			return fmt.Errorf("read the outbox's version: %w", err)
		}
	}
	if !current || !reads {
		w.plan.step(w.installStep())
	}
	for _, r := range w.trigger {
		t := table{r.OID, relay.Ident(r.Schema, r.Table)}
		if w.facts.schema.captured[r.OID] {
			if err := w.mendTriggers(ctx, t, current); err != nil {
				return err
			}
			continue
		}
		w.enable(t, "", "They write each change to the outbox in the transaction that makes it.")
	}
	for _, f := range w.foreign {
		if err := w.enableForeign(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) enable(t table, more string, why ...string) {
	w.plan.step(Step{Title: "triggers of " + t.name, Why: why, busy: &t, Statements: []string{fmt.Sprintf("select relay.enable_table(%s%s);", relay.Literal(t.name), more)}})
}

// mendTriggers plans to enable a table again whose changes can't be seen as it is, with the options that it has.
func (w *work) mendTriggers(ctx context.Context, t table, current bool) error {
	if !current {
		return nil // once the functions are
	}
	var problem, remedy *string
	err := w.conn.QueryRow(ctx, `select relay.table_problem(k.relation), relay.enable_again(k) from relay.captured k where k.relation = $1`, t.oid).Scan(&problem, &remedy)
	if err != nil {
		return fmt.Errorf("look at the triggers of %s: %w", t.name, err)
	}
	if problem != nil {
		w.plan.step(Step{Title: "triggers of " + t.name + " anew", Why: []string{*problem}, busy: &t, Statements: []string{*remedy}})
	}
	return nil
}

// enableForeign plans to capture, in the warehouse, a foreign table whose own database can't be reached.
func (w *work) enableForeign(ctx context.Context, f warehouse.ForeignTable) error {
	t := table{name: relay.Ident(f.Schema, f.Table)}
	if err := w.conn.QueryRow(ctx, `select $1::text::regclass::oid`, t.name).Scan(&t.oid); err != nil {
		return fmt.Errorf("find %s: %w", f.Name, err)
	}
	if w.facts.schema.captured[t.oid] {
		return nil
	}
	key := w.cfg.Keys[f.Name]
	if len(key) == 0 {
		w.plan.undone(f.Name+" is a foreign table, of which the warehouse knows no key", fmt.Sprintf("pgrelay attach --capture trigger --table %[1]s --key %[1]s=COLUMN   # those that tell its rows apart", shellWord(f.Name)))
		return nil
	}
	quoted := make([]string, len(key))
	for i, column := range key {
		quoted[i] = relay.Literal(column)
	}
	w.enable(t, ", key => array["+strings.Join(quoted, ", ")+"]", "Writes through the warehouse alone are seen, and a change isn't atomic with the remote write:", "it is for databases that the relay can't reach.")
	return nil
}

func (w *work) installStep() Step {
	s := Step{Title: "schema relay: the outbox and the triggers' functions", Why: []string{"The script is in the repository; pgrelay attach --scripts prints it whole."},
		Statements: []string{"\\set reader " + relay.Literal(w.plan.place.role), "\\i triggers/install.sql"}, script: triggers.Install(w.plan.place.role)}
	if w.cfg.Scripts {
		s.Why, s.Statements = nil, []string{s.script}
	}
	return s
}
