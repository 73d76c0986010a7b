package attach_test

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"pgrelay/relay/attach"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/warehouse"
	"pgrelay/sql"
)

// patience bounds every wait: nothing here takes that long unless it never comes.
const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// versions runs a test on the oldest and the newest server.
func versions(t *testing.T, test func(t *testing.T, version int)) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprint("postgres ", version), func(t *testing.T) { test(t, version) })
	}
}

// house is a server with a warehouse and its services, each a database.
type house struct {
	t      *testing.T
	ctx    context.Context
	server *pgserver.Server
	mu     sync.Mutex
	told   []attach.Progress
}

func newHouse(t *testing.T, version int, settings map[string]string) *house {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return &house{t: t, ctx: ctx, server: pgserver.ForTest(t, pgserver.Config{Version: version, Settings: settings})}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// database makes one with what a script makes.
func (h *house) database(name, script string) {
	h.t.Helper()
	must(h.t, h.server.CreateDatabase(h.ctx, name))
	h.exec(name, script)
}

func (h *house) exec(database, script string) {
	h.t.Helper()
	if err := h.server.Exec(h.ctx, database, script); err != nil {
		h.t.Fatalf("%.300s: %v", script, err)
	}
}

// warehouse makes the warehouse with the rules' table, and foreign tables over all tables of schema public of each service,
// under the service's name as schema.
func (h *house) warehouse(script string, services ...string) {
	h.t.Helper()
	system, err := sql.Read(sql.System, nil)
	must(h.t, err)
	h.database("warehouse", system+`; create extension postgres_fdw`)
	for _, s := range services {
		h.serve(s, s)
	}
	h.exec("warehouse", script)
}

// serve makes a foreign server of a name that leads to a database.
func (h *house) serve(name, database string) {
	h.t.Helper()
	h.exec("warehouse", fmt.Sprintf(`create server %[1]s foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%[2]d', dbname %[5]s);
		create user mapping for current_user server %[1]s options (user %[3]s, password %[4]s);
		create schema %[1]s; import foreign schema public from server %[1]s into %[1]s`, pgx.Identifier{name}.Sanitize(), h.server.Port(),
		literal(h.server.Superuser()), literal(h.server.Password()), literal(database)))
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (h *house) rule(name, relation, predicate string) {
	h.t.Helper()
	h.exec("warehouse", fmt.Sprintf(`insert into web_socket_event_system_events.rules (name, relation, roles, predicate) values (%s, %s, '{anon}', %s)`,
		literal(name), literal(relation), literal(predicate)))
}

func (h *house) connect(database string) *pgx.Conn {
	h.t.Helper()
	conn, err := h.server.Connect(h.ctx, database)
	must(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// value is the text of a query's one value.
func (h *house) value(database, query string, args ...any) string {
	h.t.Helper()
	conn, err := h.server.Connect(h.ctx, database)
	must(h.t, err)
	defer func() { _ = conn.Close(h.ctx) }()
	var text string
	if err := conn.QueryRow(h.ctx, query, args...).Scan(&text); err != nil {
		h.t.Fatalf("%s: %v", query, err)
	}
	return text
}

// as is the warehouse's DSN for another role.
func (h *house) as(role, password string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Host: fmt.Sprintf("127.0.0.1:%d", h.server.Port()), Path: "/warehouse", RawQuery: "sslmode=disable"}
	return u.String()
}

const rolePassword = "relay's Password 1"

func (h *house) config(change ...func(*attach.Config)) attach.Config {
	cfg := attach.Config{Warehouse: warehouse.Config{DSN: h.server.DSN("warehouse")}, Password: rolePassword}
	for _, c := range change {
		c(&cfg)
	}
	return cfg
}

func (h *house) tell(p attach.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, p)
}

// waits are the reasons for which a step has waited so far.
func (h *house) waits() (reasons []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.told {
		if p.Waiting != "" {
			reasons = append(reasons, p.Waiting)
		}
	}
	return reasons
}

// attach does it, and fails the test where something is left.
func (h *house) attach(change ...func(*attach.Config)) []*attach.Outcome {
	h.t.Helper()
	outcomes, err := attach.ApplyAttach(h.ctx, h.config(change...), h.tell)
	must(h.t, err)
	h.whole(outcomes)
	return outcomes
}

func (h *house) detach(change ...func(*attach.Config)) []*attach.Outcome {
	h.t.Helper()
	outcomes, err := attach.ApplyDetach(h.ctx, h.config(change...), h.tell)
	must(h.t, err)
	h.whole(outcomes)
	return outcomes
}

func (h *house) whole(outcomes []*attach.Outcome) {
	h.t.Helper()
	for _, o := range outcomes {
		if !o.OK() {
			h.t.Fatalf("%s: %s: %v; left %q, undone %v", o.Name, o.Failed, o.Err, o.Left, o.Undone())
		}
	}
}

// plan is what would be done, as printed.
func (h *house) plan(change ...func(*attach.Config)) string {
	h.t.Helper()
	plans, err := attach.Attach(h.ctx, h.config(change...))
	must(h.t, err)
	return printed(h.t, plans)
}

func printed(t *testing.T, plans []*attach.Plan) string {
	t.Helper()
	var b strings.Builder
	for _, p := range plans {
		must(t, p.Print(&b))
	}
	return b.String()
}

// steps are the titles of all steps.
func steps(plans []*attach.Plan) (titles []string) {
	for _, p := range plans {
		for _, s := range p.Steps {
			titles = append(titles, p.Name+": "+s.Title)
		}
	}
	return titles
}

// dump is all that there is in a database, as pg_dump says it where there is one for the server, and as the catalogs do.
func (h *house) dump(database string) string {
	h.t.Helper()
	listing := h.value(database, listingSQL)
	if h.server.Version() > 15 {
		return listing
	}
	conf, err := pgx.ParseConfig(h.server.DSN(database))
	must(h.t, err)
	return schemaDump(h.t, conf) + listing
}

// schemaDump is what pg_dump says of a database's schema.
func schemaDump(t *testing.T, conf *pgx.ConnConfig) string {
	t.Helper()
	program, err := pgserver.Tool("pg_dump")
	must(t, err)
	dump := exec.CommandContext(t.Context(), program, "--schema-only", "--restrict-key=x", "--host="+conf.Host, fmt.Sprint("--port=", conf.Port), "--username="+conf.User, "--dbname="+conf.Database)
	dump.Env = append(dump.Environ(), "PGPASSWORD="+conf.Password)
	out, err := dump.Output()
	must(t, err)
	return string(out)
}

// listingSQL has a line for everything of the catalogs that isn't the server's own. A privilege list that says what holds
// by default is none.
const listingSQL = `
with o(line) as (
  select concat_ws(' ', 'class', c.oid::regclass, c.relkind, c.relreplident, c.relispartition, c.relowner::regrole, c.reloptions, c.relrowsecurity,
    (select string_agg(a::text, ',' order by a::text) from unnest(coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))) a))
  from pg_class c where c.oid >= 16384 and c.relkind <> 't'
  union all select concat_ws(' ', 'column', a.attrelid::regclass, a.attnum, a.attname, a.atttypid::regtype, a.atttypmod, a.attnotnull, a.attgenerated, a.attidentity, a.attstorage, a.attacl)
  from pg_attribute a where a.attrelid >= 16384 and a.attnum > 0 and a.attrelid::regclass::text !~ '^pg_toast'
  union all select concat_ws(' ', 'index', i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), i.indisreplident, i.indisclustered) from pg_index i where i.indexrelid >= 16384 and i.indexrelid::regclass::text !~ '^pg_toast'
  union all select concat_ws(' ', 'constraint', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid)) from pg_constraint c where c.oid >= 16384
  union all select concat_ws(' ', 'trigger', t.tgrelid::regclass, pg_get_triggerdef(t.oid), t.tgenabled) from pg_trigger t where t.oid >= 16384 and not t.tgisinternal
  union all select concat_ws(' ', 'function', p.oid::regprocedure, md5(p.prosrc), p.proacl) from pg_proc p where p.oid >= 16384
  union all select concat_ws(' ', 'schema', n.nspname, n.nspowner::regrole, (select string_agg(a::text, ',' order by a::text) from unnest(coalesce(n.nspacl, acldefault('n', n.nspowner))) a)) from pg_namespace n where n.nspname !~ '^pg_(toast_)?temp'
  union all select concat_ws(' ', 'publication', p.pubname) from pg_publication p
  union all select concat_ws(' ', 'member', r.prpubid, r.prrelid::regclass) from pg_publication_rel r
  union all select concat_ws(' ', 'server', s.srvname, (select string_agg(a::text, ',' order by a::text) from unnest(coalesce(s.srvacl, acldefault('S', s.srvowner))) a)) from pg_foreign_server s
  union all select concat_ws(' ', 'mapping', m.srvname, m.usename) from pg_user_mappings m
  union all select concat_ws(' ', 'type', t.oid::regtype, t.typtype) from pg_type t where t.oid >= 16384 and t.oid::regtype::text !~ '^pg_toast'
  union all select concat_ws(' ', 'default', d.defaclrole::regrole, d.defaclacl) from pg_default_acl d
  union all select concat_ws(' ', 'comment', d.classoid::regclass, d.objoid, d.objsubid, d.description) from pg_description d where d.objoid >= 16384
  union all select concat_ws(' ', 'slot', s.slot_name) from pg_replication_slots s where s.database = current_database()
) select string_agg(line, e'\n' order by line collate "C") from o`

// await asks until a condition holds that nothing tells of; what it waits for is in its text.
func await(t *testing.T, condition func() (string, bool)) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, ok := condition()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", text)
		}
	}
}

// same fails the test where two dumps differ, with the lines that do.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	has := func(text, line string) bool { return strings.Contains("\n"+text+"\n", "\n"+line+"\n") }
	for line := range strings.SplitSeq(got, "\n") {
		if !has(want, line) {
			t.Errorf("%s: now there is   %s", what, line)
		}
	}
	for line := range strings.SplitSeq(want, "\n") {
		if !has(got, line) {
			t.Errorf("%s: there was once %s", what, line)
		}
	}
	if !t.Failed() {
		t.Errorf("%s: the order differs", what)
	}
}
