package serve_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/relay/serve"
	"pgrelay/relay/warehouse"
	"pgrelay/relay/wire"
	"pgrelay/sql"
)

// patience bounds every wait: nothing here takes that long unless it never comes.
const patience = 30 * time.Second

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
	servers   map[kind]*pgserver.Server
	databases int
}{servers: map[kind]*pgserver.Server{}}

// kind is what the shared servers differ in.
type kind struct {
	version  int
	walLevel string
}

// sharedServer is one server for all tests that leave it running.
func sharedServer(t *testing.T, version int) *pgserver.Server {
	t.Helper()
	return sharedKind(t, kind{version, "logical"})
}

func sharedKind(t *testing.T, k kind) *pgserver.Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.servers[k]; s != nil {
		return s
	}
	s, err := pgserver.New(pgserver.Config{Version: k.version, Settings: map[string]string{"wal_level": k.walLevel}})
	if err != nil {
		t.Fatal(err)
	}
	shared.servers[k] = s
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// versions runs a test on the oldest and the newest server.
func versions(t *testing.T, test func(t *testing.T, version int)) {
	for _, version := range []int{15, 18} {
		t.Run(fmt.Sprint("postgres ", version), func(t *testing.T) { test(t, version) })
	}
}

// database is one with the rules' table, which is its own warehouse.
type database struct {
	t      *testing.T
	server *pgserver.Server
	name   string
	ctx    context.Context
}

// newDatabase makes a database with what script makes, and a rule that lets anybody see each of tables.
func newDatabase(t *testing.T, server *pgserver.Server, script string, tables ...string) *database {
	t.Helper()
	shared.Lock()
	shared.databases++
	others := slices.Contains(slices.Collect(maps.Values(shared.servers)), server)
	d := &database{t: t, server: server, name: fmt.Sprintf("d%d", shared.databases)}
	shared.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute*slowness)
	t.Cleanup(cancel)
	d.ctx = ctx
	if err := server.CreateDatabase(ctx, d.name); err != nil {
		t.Fatal(err)
	}
	if others {
		t.Cleanup(d.dropSlots)
	}
	system, err := sql.Read(sql.System, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.exec(system)
	d.exec(script)
	for _, table := range tables {
		d.allow(table)
	}
	return d
}

// dropSlots makes room for the next test's; the server notices a moment late that a relay has ended.
func (d *database) dropSlots() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := d.server.Connect(ctx, d.name)
	if err != nil {
		d.t.Error(err)
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	await(d.t, func() (string, bool) {
		_, err := conn.Exec(ctx, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`)
		return fmt.Sprintf("slots to be let go: %v", err), err == nil
	})
}

func (d *database) dsn() string { return d.server.DSN(d.name) }

func (d *database) exec(sql string) {
	d.t.Helper()
	if err := d.server.Exec(d.ctx, d.name, sql); err != nil {
		d.t.Fatalf("%.200s: %v", sql, err)
	}
}

// allow lets anybody see all of a table.
func (d *database) allow(table string) {
	d.t.Helper()
	d.exec(fmt.Sprintf(`insert into web_socket_event_system_events.rules (name, relation, roles) values ('all of %[1]s', '%[1]s', '{anon}')`, table))
}

// connect opens a session that ends with the test.
func (d *database) connect() *pgx.Conn {
	d.t.Helper()
	conn, err := d.server.Connect(d.ctx, d.name)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// value is the text of a query's one value.
func (d *database) value(query string, args ...any) string {
	d.t.Helper()
	conn, err := d.server.Connect(d.ctx, d.name)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = conn.Close(d.ctx) }()
	var text string
	if err := conn.QueryRow(d.ctx, query, args...).Scan(&text); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
	return text
}

// contents counts a table's rows, each in the protocol's form, its columns sorted by name.
func (d *database) contents(table string) map[string]int {
	d.t.Helper()
	conn, err := d.server.Connect(d.ctx, d.name)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = conn.Close(d.ctx) }()
	var row string
	err = conn.QueryRow(d.ctx, `
		select string_agg(format('%L || coalesce(to_json(%I%s)::text, ''null'')', attname || '=', attname,
			case when atttypid in ('int8'::regtype, 'numeric'::regtype) then '::text' else '' end), ' || '' '' || ' order by attname collate "C")
		from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped`, table).Scan(&row)
	if err != nil {
		d.t.Fatal(err)
	}
	rows, err := conn.Query(d.ctx, "select "+row+" from "+table)
	if err != nil {
		d.t.Fatal(err)
	}
	counts := map[string]int{}
	var text string
	if _, err := pgx.ForEachRow(rows, []any{&text}, func() error { counts[text]++; return nil }); err != nil {
		d.t.Fatal(err)
	}
	return counts
}

// count is contents for a mirror's rows.
func count(rows []client.Row) map[string]int {
	counts := map[string]int{}
	for _, row := range rows {
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(row)) {
			parts = append(parts, name+"="+string(row[name]))
		}
		counts[strings.Join(parts, " ")]++
	}
	return counts
}

// relay is one that runs in this process.
type relay struct {
	*serve.Server
	url  string
	stop func()
	log  *record
}

// record is a log that a failed test shows.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// start runs a relay on the database until stop or the test's end.
func (d *database) start(change ...func(*serve.Config)) *relay { return start(d.t, d.dsn(), change...) }

func start(t *testing.T, dsn string, change ...func(*serve.Config)) *relay {
	t.Helper()
	log := &record{}
	cfg := serve.Config{Warehouse: warehouse.Config{DSN: dsn}, Listen: "127.0.0.1:0", Logger: zerolog.New(log).With().Timestamp().Logger()}
	for _, c := range change {
		c(&cfg)
	}
	s, err := serve.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r := &relay{Server: s, url: "ws://" + s.Addr().String() + wire.Path, log: log}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the relay ended with %v", err)
		}
	})
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			lines := strings.SplitAfter(log.String(), "\n")
			t.Logf("end of a relay's log:\n%s", strings.Join(lines[max(0, len(lines)-40):], ""))
		}
	})
	return r
}

// at makes a relay listen where a former one did.
func at(r *relay) func(*serve.Config) {
	return func(c *serve.Config) { c.Listen = r.Addr().String() }
}

// ready waits until the relay serves everything.
func (r *relay) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		t.Fatalf("the relay isn't ready: %q", r.Reasons())
	}
}

// reason waits until the relay gives a reason that holds all of the texts.
func (r *relay) reason(t *testing.T, texts ...string) string {
	t.Helper()
	return await(t, func() (string, bool) {
		for _, reason := range r.Reasons() {
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(reason, text) }) {
				return reason, true
			}
		}
		return fmt.Sprintf("reasons with %q; they are %q", texts, r.Reasons()), false
	})
}

// await asks until a condition holds that nothing tells of; what it waits for is in its text.
func await(t *testing.T, condition func() (string, bool)) string {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, ok := condition()
		if ok {
			return text
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", text)
		}
	}
}

// mirror is a client's rows.
type mirror struct {
	*client.Mirror
	t *testing.T

	mu       sync.Mutex
	messages []wire.ServerMessage
	stop     func()
}

// newMirror connects a strict client to the relay, again whenever the connection is lost, until the test's end.
func newMirror(t *testing.T, url string, options client.Options) *mirror {
	t.Helper()
	m := &mirror{t: t}
	m.Mirror = client.NewMirror(client.Hooks{Message: func(_ []byte, msg *wire.ServerMessage) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.messages = append(m.messages, *msg)
	}})
	options.Strict = true
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx, url, options, nil) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the mirror ended with %v", err)
		}
	})
	t.Cleanup(m.stop)
	return m
}

// seen are the messages of a type so far.
func (m *mirror) seen(kind string) (some []wire.ServerMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, msg := range m.messages {
		if msg.Type == kind {
			some = append(some, msg)
		}
	}
	return some
}

func (m *mirror) subscribe(table string, columns ...string) uint64 {
	m.t.Helper()
	id, err := m.Subscribe(client.Subscription{Table: table, Columns: columns})
	if err != nil {
		m.t.Fatal(err)
	}
	return id
}

// until waits for a condition.
func (m *mirror) until(what string, condition func() bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.Await(ctx, func(*client.Mirror) bool { return condition() }); err != nil {
		m.t.Fatalf("wait for %s: %v", what, err)
	}
}

func (m *mirror) live(ids ...uint64) {
	m.t.Helper()
	m.until("live", func() bool {
		return !slices.ContainsFunc(ids, func(id uint64) bool { return !m.Live(id) })
	})
}

// phase waits until a subscription is in a phase, for a reason where one is given.
func (m *mirror) phase(id uint64, phase client.Phase, reason string) {
	m.t.Helper()
	m.until(fmt.Sprintf("%s %s of %d", phase, reason, id), func() bool {
		s := m.Status(id)
		return s.Phase == phase && (reason == "" || s.Reason == reason)
	})
}

// has waits until the mirror is live with a table's rows as they are now.
func (m *mirror) has(d *database, id uint64, table string) {
	m.t.Helper()
	want := d.contents(table)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := m.Await(ctx, func(c *client.Mirror) bool { return c.Live(id) && maps.Equal(count(c.Rows(id)), want) })
	if err != nil {
		m.t.Fatalf("the mirror of %s isn't equal to it: %v\n%s", table, err, difference(count(m.Rows(id)), want))
	}
}

func difference(got, want map[string]int) string {
	var lines []string
	for row, n := range want {
		if got[row] != n {
			lines = append(lines, fmt.Sprintf("missing %d× %.200s", n-got[row], row))
		}
	}
	for row, n := range got {
		if want[row] == 0 {
			lines = append(lines, fmt.Sprintf("too many %d× %.200s", n, row))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines[:min(len(lines), 10)], "\n")
}

// load writes through several sessions until its stop is called, which returns when the last has ended. Statements
// take a number, of which each session has its own. Errors of a server that goes away are borne.
func (d *database) load(writers int, statement func(writer, n int) string) (stop func() (statements int)) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	done := make([]int, writers)
	for w := range writers {
		group.Go(func() {
			var conn *pgx.Conn
			for n := 0; ctx.Err() == nil; {
				if conn == nil || conn.IsClosed() {
					var err error
					if conn, err = pgx.Connect(ctx, d.dsn()); err != nil {
						continue
					}
				}
				if _, err := conn.Exec(context.Background(), statement(w, n)); err == nil {
					done[w]++
				}
				n++
			}
			if conn != nil {
				_ = conn.Close(context.Background())
			}
		})
	}
	stop = sync.OnceValue(func() int {
		cancel()
		group.Wait()
		sum := 0
		for _, n := range done {
			sum += n
		}
		return sum
	})
	d.t.Cleanup(func() { stop() })
	return stop
}

// listed are the lines of what the relay says it found.
func (r *relay) listed() []string {
	var b strings.Builder
	r.List(&b)
	return strings.Split(b.String(), "\n")
}

// scan reads a query's one row.
func (d *database) scan(query string, into ...any) {
	d.t.Helper()
	conn, err := d.server.Connect(d.ctx, d.name)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = conn.Close(d.ctx) }()
	if err := conn.QueryRow(d.ctx, query).Scan(into...); err != nil {
		d.t.Fatalf("%s: %v", query, err)
	}
}
