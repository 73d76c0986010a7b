package oracle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
)

// leakSchema makes the tables that the leak test watches, and a history of every row that was ever committed there. The
// history is unlogged, so that no publication holds it.
const leakSchema = `
create schema leak;
create type leak.state as enum ('open', 'busy', 'done');
create table leak.notes (id int primary key, owner text, team int, state leak.state, secret boolean, amount numeric(10, 2), body text);
create table leak.keyed (tenant int, id int, n int, body text, primary key (tenant, id));
create table leak.bag (owner text, n int, amount numeric, body text);
create table leak.parts (id int, region int, owner text, n int, body text, primary key (id, region)) partition by list (region);
create table leak.parts_0 partition of leak.parts for values in (0);
create table leak.parts_1 (body text, n int, owner text, region int not null, id int not null);
alter table leak.parts attach partition leak.parts_1 for values in (1);
alter table leak.keyed alter column body set storage external;
alter table leak.notes replica identity full;
alter table leak.bag replica identity full;
alter table leak.parts_0 replica identity full;
alter table leak.parts_1 replica identity full;
create sequence leak.bodies;
create unlogged table leak.history (seq bigint generated always as identity, xid xid8 not null default pg_current_xact_id(), relation text, op text, o jsonb, n jsonb);
create function leak.remember() returns trigger language plpgsql as $$
begin
	if tg_op = 'TRUNCATE' then
		insert into leak.history (relation, op) values (tg_argv[0], tg_op);
	else
		insert into leak.history (relation, op, o, n) values (tg_argv[0], tg_op, to_jsonb(old), to_jsonb(new));
	end if;
	return null;
end $$;
do $$
declare name text;
begin
	foreach name in array '{notes,keyed,bag,parts}'::text[] loop
		execute format('create trigger remember after insert or update or delete on leak.%I for each row execute function leak.remember(%L)', name, 'leak.' || name);
		execute format('create trigger remember_truncate after truncate on leak.%I for each statement execute function leak.remember(%L)', name, 'leak.' || name);
	end loop;
end $$;
create function leak.holds(predicate text, r anyelement, claims jsonb) returns boolean language plpgsql set search_path = pg_catalog as $$
declare yes boolean;
begin
	execute 'select (' || predicate || E'\n) from (select ($1).*, $2 as claims) q' into yes using r, claims;
	return coalesce(yes, false);
exception when others then
	return false;
end $$;
`

// mark begins every body, so that a body is recognised wherever it stands.
const mark = "§"

// leakTables and the columns of their keys.
var leakTables = map[string][]string{
	"leak.notes": {"id"}, "leak.keyed": {"tenant", "id"}, "leak.bag": nil, "leak.parts": {"id", "region"},
}

// leakWriter writes over one session, as much as tick allows.
type leakWriter struct {
	conn    *pgx.Conn
	rnd     *rand.Rand
	commits *atomic.Int64
}

// transaction makes some writes, some of them in subtransactions that may be undone. Deadlocks and violations are borne.
func (w *leakWriter) transaction(ctx context.Context) error {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := w.writes(ctx, tx, 1+w.rnd.IntN(4), 2); err != nil || w.rnd.IntN(10) == 0 {
		if rollback := tx.Rollback(ctx); rollback != nil {
			return fmt.Errorf("roll back: %w", rollback)
		}
		if err != nil {
			return unexpected(err)
		}
		return nil
	}
	w.commits.Add(1)
	return tx.Commit(ctx)
}

func (w *leakWriter) writes(ctx context.Context, tx pgx.Tx, n, depth int) error {
	for range n {
		if depth == 0 || w.rnd.IntN(4) > 0 {
			if _, err := tx.Exec(ctx, w.statement()); err != nil {
				return err
			}
			continue
		}
		sub, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		if err = w.writes(ctx, sub, 1+w.rnd.IntN(3), depth-1); err != nil && unexpected(err) != nil {
			return err
		}
		if err != nil || w.rnd.IntN(3) == 0 {
			err = sub.Rollback(ctx)
		} else {
			err = sub.Commit(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// body is an expression for a text that no other row has; now and then a long one, which TOAST moves out of line.
func (w *leakWriter) body() string {
	if w.rnd.IntN(8) == 0 {
		return "'" + mark + "' || nextval('leak.bodies') || ' ' || repeat('long ', 600)"
	}
	return "'" + mark + "' || nextval('leak.bodies')"
}

func (w *leakWriter) owner() string {
	if n := w.rnd.IntN(10); n < 9 {
		return fmt.Sprintf("'u%d'", n)
	}
	return "null"
}

func (w *leakWriter) statement() string {
	n, k, team := w.rnd.IntN(60), w.rnd.IntN(60), w.rnd.IntN(5)
	if w.rnd.IntN(300) == 0 {
		return "truncate " + []string{"leak.notes", "leak.keyed", "leak.bag", "leak.parts", "leak.parts_1", "leak.notes, leak.keyed"}[w.rnd.IntN(6)]
	}
	switch w.rnd.IntN(8) {
	case 0, 1, 2, 3:
		return w.note(n, k, team)
	case 4, 5:
		return w.keyed(n, k, team)
	case 6:
		return w.bag(n)
	}
	return w.parts(n, k)
}

func (w *leakWriter) note(n, k, team int) string {
	state := []string{"'open'", "'busy'", "'done'", "null"}[w.rnd.IntN(4)]
	secret := []string{"true", "false", "null"}[w.rnd.IntN(3)]
	switch w.rnd.IntN(11) {
	case 0, 1, 2, 3:
		return fmt.Sprintf(`insert into leak.notes values (%d, %s, nullif(%d, 4), %s, %s, %d.%02d, %s) on conflict (id) do update set owner = excluded.owner, secret = excluded.secret, body = excluded.body`,
			n, w.owner(), team, state, secret, w.rnd.IntN(100), w.rnd.IntN(100), w.body())
	case 4:
		return fmt.Sprintf(`update leak.notes set owner = %s, body = %s where id = %d`, w.owner(), w.body(), n)
	case 5:
		return fmt.Sprintf(`update leak.notes set secret = %s where id = %d`, secret, n)
	case 6:
		return fmt.Sprintf(`update leak.notes set team = nullif(%d, 4), amount = amount + 7 where id between %d and %d`, team, n, n+3)
	case 7:
		return fmt.Sprintf(`update leak.notes set id = %d, state = %s where id = %d`, k, state, n)
	case 8:
		return fmt.Sprintf(`delete from leak.notes where id between %d and %d`, n, n+1)
	case 9:
		return fmt.Sprintf(`insert into leak.notes (id, owner, body) select g, 'u' || g %% 9, %s from generate_series(%d, %d) g on conflict do nothing`, w.body(), n, n+4)
	}
	return fmt.Sprintf(`update leak.notes set owner = 'u' || (id + %d) %% 9, secret = not secret where id %% 10 = %d`, k, n%10)
}

func (w *leakWriter) keyed(n, k, team int) string {
	switch w.rnd.IntN(6) {
	case 0, 1:
		return fmt.Sprintf(`insert into leak.keyed values (%d, %d, %d, %s) on conflict (tenant, id) do update set n = leak.keyed.n + 1`, team, n, k, w.body())
	case 2:
		return fmt.Sprintf(`update leak.keyed set n = n + 1 where id = %d`, n)
	case 3:
		return fmt.Sprintf(`update leak.keyed set tenant = %d where tenant = %d and id = %d`, team, k%5, n)
	case 4:
		return fmt.Sprintf(`update leak.keyed set id = %d, body = %s where tenant = %d and id = %d`, k, w.body(), team, n)
	}
	return fmt.Sprintf(`delete from leak.keyed where id = %d`, n)
}

func (w *leakWriter) bag(n int) string {
	switch w.rnd.IntN(4) {
	case 0, 1:
		return fmt.Sprintf(`insert into leak.bag select %s, %d, 1.50, '%s' || nextval('leak.bodies') / 2 from generate_series(1, 2)`, w.owner(), n%5, mark)
	case 2:
		return fmt.Sprintf(`update leak.bag set owner = %s, n = (n + 1) %% 5 where ctid = any (array(select ctid from leak.bag where n = %d limit 2))`, w.owner(), n%5)
	}
	return fmt.Sprintf(`delete from leak.bag where ctid = any (array(select ctid from leak.bag where n = %d limit 3))`, n%5)
}

func (w *leakWriter) parts(n, k int) string {
	switch w.rnd.IntN(5) {
	case 0, 1:
		return fmt.Sprintf(`insert into leak.parts values (%d, %d, %s, %d, %s) on conflict (id, region) do update set owner = excluded.owner`, n, k%2, w.owner(), k, w.body())
	case 2:
		return fmt.Sprintf(`update leak.parts set region = 1 - region where id = %d and not exists (select from leak.parts o where o.id = %[1]d and o.region <> leak.parts.region)`, n)
	case 3:
		return fmt.Sprintf(`update leak.parts set owner = %s, n = n + 1 where id = %d`, w.owner(), n)
	}
	return fmt.Sprintf(`delete from leak.parts where id = %d`, n)
}
