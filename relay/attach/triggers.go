package attach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

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
		if current && reads {
			if current, err = w.upToDate(ctx); err != nil {
				return err
			}
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
		late, err := w.deferrable(ctx, t)
		switch {
		case err != nil:
			return err
		case late != "":
			w.leaveOut(r.Name, t, late)
		default:
			w.enable(t, "", "They write each change to the outbox in the transaction that makes it.")
		}
	}
	for _, f := range w.foreign {
		if err := w.enableForeign(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// deferrableSQL finds what enable_table in triggers/functions/dba.sql refuses.
const deferrableSQL = `
select coalesce(string_agg(quote_ident(i.relname), ', ' order by i.relname), '')
from pg_class c join pg_index x on x.indrelid = c.oid join pg_class i on i.oid = x.indexrelid
where c.oid = $1 and not x.indimmediate and (x.indisreplident or x.indisprimary and c.relreplident <> 'i')`

// deferrable names the key of a table, where it is one whose changes can't be put into an order that keeps it unique.
func (w *work) deferrable(ctx context.Context, t table) (key string, err error) {
	if err := w.conn.QueryRow(ctx, deferrableSQL, t.oid).Scan(&key); err != nil {
		return "", fmt.Errorf("look at the key of %s: %w", t.name, err)
	}
	return key, nil
}

func (w *work) leaveOut(name string, t table, key string) {
	text := fmt.Sprintf("%s isn't captured by triggers: its key %s is deferrable, and changes can't be put into an order that keeps it unique", name, key)
	remedy := fmt.Sprintf("alter table %s drop constraint %s, add primary key (…);\nor pgrelay attach --capture logical --table %s", t.name, key, shellWord(name))
	if len(w.rulesOf(name)) > 0 || w.named(name) {
		w.plan.undone(text, remedy)
	} else {
		w.plan.note(text+"; no rule concerns it", remedy)
	}
}

const functionsSQL = `
select p.proname::text, p.prosrc, array(select split_part(s, '=', 1) from unnest(p.proconfig) s) from pg_proc p where p.pronamespace = to_regnamespace('relay')`

// upToDate tells that the functions of schema relay are those that install.sql makes.
func (w *work) upToDate(ctx context.Context) (bool, error) {
	rows, err := w.conn.Query(ctx, functionsSQL)
	if err != nil {
		return false, fmt.Errorf("read the functions of schema relay: %w", err)
	}
	there, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f triggers.Function, err error) {
		err = row.Scan(&f.Name, &f.Body, &f.Settings)
		return f, err
	})
	if err != nil {
		return false, fmt.Errorf("read the functions of schema relay: %w", err)
	}
	return !slices.ContainsFunc(triggers.Functions(), func(f triggers.Function) bool { return !slices.ContainsFunc(there, f.Equal) }), nil
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
