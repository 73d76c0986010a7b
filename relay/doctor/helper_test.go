package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
	"pgrelay/sql"
)

// suite closes the shared servers before goroutines are counted.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	code := s.m.Run()
	shared.Lock()
	defer shared.Unlock()
	for _, server := range shared.servers {
		if err := server.Close(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

var shared = struct {
	sync.Mutex
	servers   map[int]*pgserver.Server
	databases int
}{servers: map[int]*pgserver.Server{}}

// settings are those of a server of which nothing is to be said; nothing waits for a standby that a test pretends to have.
func settings(version int) map[string]string {
	s := map[string]string{"max_slot_wal_keep_size": "10GB", "synchronous_commit": "off", "max_prepared_transactions": "10", "autovacuum": "off"}
	if version >= 17 {
		s["max_notify_queue_pages"] = "64"
	}
	return s
}

// sharedServer is one server for all tests that leave it as it was; its database healthy is what others are copies of.
func sharedServer(t *testing.T, version int) *pgserver.Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.servers[version]; s != nil {
		return s
	}
	s, err := pgserver.New(pgserver.Config{Version: version, Settings: settings(version)})
	if err != nil {
		t.Fatal(err)
	}
	shared.servers[version] = s
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	prepare(t, s)
	return s
}

// versions runs a test on the oldest and the newest server.
func versions(t *testing.T, test func(t *testing.T, version int)) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) { test(t, version) })
	}
}

const password = "relay-Password-1"

// prepare makes database healthy as attach leaves one: a table, its rule, the publication, and a role that can nothing else.
func prepare(t *testing.T, s *pgserver.Server) {
	t.Helper()
	must(t, s.CreateDatabase(t.Context(), "healthy"))
	d := &database{t: t, server: s, name: "healthy"}
	d.exec(script(t, sql.System, nil))
	d.exec(`create table items (id bigint primary key, owner bigint not null, n int);
insert into web_socket_event_system_events.rules (name, relation, roles, predicate) values ('own items', 'public.items', '{}', 'id = (claims ->> ''item'')::bigint');`)
	d.exec(script(t, sql.RelayRole, sql.Variables{"relay_role": "relay_role", "relay_password": password, "schemas": ""}))
	d.exec(`grant pg_read_all_stats to relay_role`)
	for _, f := range examine(t, d.dsn(), nil).Findings {
		if f.Check == "publication_missing" {
			d.exec(f.Remedy)
			return
		}
	}
	t.Fatal("nobody says how to make the publication")
}

func script(t *testing.T, name string, variables sql.Variables) string {
	t.Helper()
	text, err := sql.Read(name, variables)
	must(t, err)
	return text
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// database is one that a test makes sick.
type database struct {
	t      *testing.T
	server *pgserver.Server
	name   string
}

// newDatabase is a copy of the healthy one.
func newDatabase(t *testing.T, s *pgserver.Server) *database {
	t.Helper()
	shared.Lock()
	shared.databases++
	d := &database{t: t, server: s, name: fmt.Sprintf("d%d", shared.databases)}
	shared.Unlock()
	must(t, s.Exec(t.Context(), "postgres", "create database "+d.name+" template healthy"))
	t.Cleanup(func() {
		_ = s.Exec(context.Background(), "postgres", `select pg_terminate_backend(active_pid, 10000) from pg_replication_slots where database = '`+d.name+`' and active`)
		_ = s.Exec(context.Background(), "postgres", `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '`+d.name+`' and not active`)
		if err := s.Exec(context.Background(), "postgres", "drop database "+d.name+" with (force)"); err != nil {
			t.Error(err)
		}
	})
	return d
}

// dsn is the relay's role.
func (d *database) dsn() string { return d.as("relay_role", password) }

func (d *database) as(user, password string) string {
	u, err := url.Parse(d.server.DSN(d.name))
	must(d.t, err)
	u.User = url.UserPassword(user, password)
	return u.String()
}

// exec runs SQL as the superuser.
func (d *database) exec(text string) {
	d.t.Helper()
	if err := d.server.Exec(context.WithoutCancel(d.t.Context()), d.name, text); err != nil {
		d.t.Fatalf("%v in\n%s", err, text)
	}
}

// run runs a script as a whole where it holds functions, else line by line.
func (d *database) run(text string) {
	d.t.Helper()
	if strings.Contains(text, "$$") {
		d.exec(text)
	} else {
		d.lines(text)
	}
}

// lines runs SQL line by line in one session, each outside of a transaction, and waits until a reload has happened.
func (d *database) lines(text string) {
	d.t.Helper()
	conn := d.open()
	defer func() { _ = conn.Close(context.Background()) }()
	loaded := d.value(`select pg_conf_load_time()::text`)
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if _, err := conn.PgConn().Exec(d.t.Context(), line).ReadAll(); err != nil {
			var pg *pgconn.PgError
			if errors.As(err, &pg) && pg.Code == "57P01" {
				continue // it ended itself
			}
			d.t.Fatalf("%v in\n%s", err, line)
		}
	}
	for strings.Contains(text, "pg_reload_conf") && d.value(`select pg_conf_load_time()::text`) == loaded {
		time.Sleep(time.Millisecond) // each look is a session of its own: only such show what the postmaster has read
	}
}

func (d *database) open() *pgx.Conn {
	d.t.Helper()
	conn, err := d.server.Connect(d.t.Context(), d.name)
	must(d.t, err)
	return conn
}

func (d *database) value(query string) (v string) {
	d.t.Helper()
	conn := d.open()
	defer func() { _ = conn.Close(context.Background()) }()
	must(d.t, conn.QueryRow(d.t.Context(), query).Scan(&v))
	return v
}

// relay runs one on the database until the test ends.
func (d *database) relay(t *testing.T) {
	t.Helper()
	r, err := serve.New(serve.Config{Warehouse: warehouseConfig(d.dsn()), Listen: "127.0.0.1:0", Logger: zerolog.Nop()})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-ended) })
	patient, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	if err := r.Ready(patient); err != nil {
		t.Fatal(err, r.Reasons())
	}
}

func warehouseConfig(dsn string) warehouse.Config { return warehouse.Config{DSN: dsn} }

// blank is a source of which nothing is known.
func blank(cfg Config) *place {
	return newPlace(cfg, &serve.LookedSource{Source: &warehouse.Source{Name: "local", Local: true}})
}

func examine(t *testing.T, dsn string, with func(*Config)) *Report {
	t.Helper()
	cfg := Config{Warehouse: warehouseConfig(dsn)}
	if with != nil {
		with(&cfg)
	}
	report, err := Examine(t.Context(), cfg)
	must(t, err)
	return report
}

// of are a check's findings.
func (r *Report) of(check string) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Check != check })
}

func show(all []Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%s %s %s: %s: %s\n    %s\n", f.Severity, f.Check, f.Source, f.Object, f.Problem, strings.ReplaceAll(f.Remedy, "\n", "\n    "))
	}
	return b.String()
}

// first is what of a remedy comes before another way.
func first(remedy string) string {
	var lines []string
	for line := range strings.Lines(remedy) {
		if strings.HasPrefix(line, "or") || strings.HasPrefix(line, "then ") || strings.HasPrefix(line, "on the standby") || strings.HasPrefix(line, "and ") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}
