package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tests{m}) }

// tests are the package's, with the servers that they share.
type tests struct{ *testing.M }

func (m tests) Run() int {
	code := m.M.Run()
	servers.Lock()
	defer servers.Unlock()
	for _, s := range servers.all {
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

var servers struct {
	sync.Mutex
	all       map[string]*pgserver.Server
	databases int
}

// shared is a server that several tests use, each in a database of its own.
func shared(t *testing.T, version int, settings map[string]string) (_ *pgserver.Server, database string) {
	t.Helper()
	servers.Lock()
	defer servers.Unlock()
	key := fmt.Sprint(version, settings)
	s := servers.all[key]
	if s == nil {
		var err error
		if s, err = pgserver.New(pgserver.Config{Version: version, Settings: settings}); err != nil {
			t.Fatal(err)
		}
		if servers.all == nil {
			servers.all = map[string]*pgserver.Server{}
		}
		servers.all[key] = s
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	servers.databases++
	database = fmt.Sprintf("test_%d", servers.databases)
	if err := s.CreateDatabase(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	return s, database
}

// rung are the settings of a server where the doorbell rings by itself.
var rung = map[string]string{"max_prepared_transactions": "0"}

// on runs body against a server of each version, in a database with schema relay.
func on(t *testing.T, settings map[string]string, body func(t *testing.T, db *db)) {
	for _, v := range []int{15, 18} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			t.Parallel()
			d := &db{t: t}
			d.server, d.name = shared(t, v, settings)
			d.conn = d.connect()
			d.exec(triggers.Install(""))
			body(t, d)
		})
	}
}

// db is a database of a test.
type db struct {
	t      *testing.T
	server *pgserver.Server
	name   string
	conn   *pgx.Conn
}

// connect opens a session that ends with the test.
func (d *db) connect() *pgx.Conn {
	d.t.Helper()
	conn, err := d.server.Connect(d.t.Context(), d.name)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (d *db) exec(sql string, args ...any) {
	d.t.Helper()
	d.execOn(d.conn, sql, args...)
}

func (d *db) execOn(conn *pgx.Conn, sql string, args ...any) {
	d.t.Helper()
	if len(args) == 0 {
		if _, err := conn.PgConn().Exec(d.t.Context(), sql).ReadAll(); err != nil {
			d.t.Fatalf("%v in %s", err, sql)
		}
		return
	}
	if _, err := conn.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatalf("%v in %s", err, sql)
	}
}

func scan[T any](d *db, sql string, args ...any) (v T) {
	d.t.Helper()
	if err := d.conn.QueryRow(d.t.Context(), sql, args...).Scan(&v); err != nil {
		d.t.Fatalf("%v in %s", err, sql)
	}
	return v
}

// table makes a table and has it captured.
func (d *db) table(name, columns string) uint32 {
	d.t.Helper()
	d.exec(fmt.Sprintf("create table %s (%s)", name, columns))
	d.exec(fmt.Sprintf("select relay.enable_table(%s)", relay.Literal(name)))
	return scan[uint32](d, "select $1::text::regclass::oid", name)
}

func (d *db) config() Config {
	conf, err := pgx.ParseConfig(d.server.DSN(d.name))
	if err != nil {
		d.t.Fatal(err)
	}
	conf.RuntimeParams["application_name"] = "the relay"
	return Config{Conn: conf}
}

func (d *db) open(cfg Config) *Reader {
	d.t.Helper()
	r, err := Open(d.t.Context(), cfg)
	if err != nil {
		d.t.Fatalf("%v; remedy: %s", err, relay.Remedy(err))
	}
	d.t.Cleanup(func() { _ = r.Close() })
	return r
}

// replay hands over once more what the reader has handed over from a position on.
func (d *db) replay(r *Reader, from relay.LSN, h Handler) error {
	d.t.Helper()
	conn, err := pgx.ConnectConfig(d.t.Context(), r.cfg.Conn.Copy())
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	return r.Replay(d.t.Context(), conn, from, 0, h)
}

// change is what a handler got, as text.
type change struct {
	xid uint64
	// what is "I table (new)", "U table (old) (new)", "D table (old)", "T tables" or "X table reason".
	what string
}

// sink is a handler that keeps everything and can be waited for.
type sink struct {
	sync.Mutex
	changed  *sync.Cond
	names    *tableNames
	columns  map[uint32][]string
	xid      uint64
	open     []change
	got      []change
	at       []int64
	end      relay.LSN
	seen     string
	advances int
	// fail makes Commit's successor fail, as a relay that dies.
	failAfter int
	rows      int
	discard   bool
}

func newSink() *sink {
	s := &sink{names: &tableNames{of: map[uint32]string{}}, columns: map[uint32][]string{}}
	s.changed = sync.NewCond(s)
	return s
}

func (s *sink) Relation(table uint32, columns []Column) error {
	s.Lock()
	defer s.Unlock()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	s.columns[table] = names
	return nil
}

func (s *sink) Begin(xid uint64, at int64) {
	s.xid, s.open = xid, nil
	s.at = append(s.at, at)
}

var errDied = errors.New("the relay died")

func (s *sink) Row(kind byte, table uint32, old, new relay.Tuple) error {
	s.rows++
	if s.discard {
		return nil
	}
	if s.failAfter > 0 && s.rows > s.failAfter {
		return errDied
	}
	what := fmt.Sprintf("%c %s", kind, s.name(table))
	for _, tuple := range []relay.Tuple{old, new} {
		if tuple != nil {
			what += " " + s.text(table, tuple)
		}
	}
	s.open = append(s.open, change{s.xid, what})
	return nil
}

func (s *sink) text(table uint32, tuple relay.Tuple) string {
	values, rest, err := tuple.Values(nil)
	if err != nil || len(rest) > 0 || len(values) != len(s.columns[table]) {
		return fmt.Sprintf("(malformed: %v, %d bytes left, %d values for %q)", err, len(rest), len(values), s.columns[table])
	}
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = "null"
		if v.Kind == relay.ValueText {
			parts[i] = "'" + string(v.Text) + "'"
		}
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

func (s *sink) name(table uint32) string {
	if name := s.names.get(table); name != "" {
		return name
	}
	return fmt.Sprint(table)
}

func (s *sink) Truncate(tables []uint32) {
	var names []string
	for _, t := range tables {
		names = append(names, s.name(t))
	}
	s.open = append(s.open, change{s.xid, "T " + strings.Join(names, " ")})
}

func (s *sink) Lost(table uint32, reason string) {
	s.open = append(s.open, change{s.xid, "X " + s.name(table) + " " + reason})
}

func (s *sink) Commit(position relay.LSN) {
	s.got = append(s.got, s.open...)
	if position <= s.end {
		s.got = append(s.got, change{s.xid, fmt.Sprintf("position %x after %x", position, s.end)})
	}
	s.end, s.open = position, nil
	s.changed.Broadcast()
}

func (s *sink) Advance(position relay.LSN, snapshot string) {
	s.end, s.seen = max(s.end, position), snapshot
	s.advances++
	s.changed.Broadcast()
}

// await waits until done, which is called with the lock held.
func (s *sink) await(t *testing.T, done func() bool) {
	t.Helper()
	stop := context.AfterFunc(t.Context(), s.changed.Broadcast)
	defer stop()
	s.Lock()
	defer s.Unlock()
	for !done() {
		if t.Context().Err() != nil {
			t.Fatal("waits in vain")
		}
		s.changed.Wait()
	}
}

// position is the last one that was handed over.
func (s *sink) position() relay.LSN {
	s.Lock()
	defer s.Unlock()
	return s.end
}

// passed waits until the reader has handed over everything that is committed now.
func (s *sink) passed(t *testing.T, r *Reader) {
	t.Helper()
	fence := r.Fence()
	s.await(t, func() bool { return s.end >= fence })
}

// whats is what was got, without the notices of tables that were enabled.
func (s *sink) whats() []string {
	s.Lock()
	defer s.Unlock()
	var all []string
	for _, c := range s.got {
		if !strings.HasSuffix(c.what, "the table was enabled") {
			all = append(all, c.what)
		}
	}
	return all
}

func (s *sink) want(t *testing.T, want ...string) {
	t.Helper()
	if got := s.whats(); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// run runs a reader until the test ends, or stop is called, which returns Run's error.
func (d *db) run(r *Reader, from relay.LSN, h Handler) (stop func() error) {
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, from, h) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	d.t.Cleanup(func() { _ = stop() })
	return stop
}

// start opens a reader and runs it from the window's start.
func (d *db) start(cfg Config, h Handler) (*Reader, func() error) {
	d.t.Helper()
	r := d.open(cfg)
	from, _ := r.Window()
	return r, d.run(r, from, h)
}

// gone waits until no relay has a session.
func (d *db) gone() {
	d.t.Helper()
	for scan[bool](d, `select exists (select from pg_stat_activity where application_name = 'the relay' and datname = current_database())`) {
		if d.t.Context().Err() != nil {
			d.t.Fatal("a session doesn't end")
		}
	}
}

// tableNames are set while a reader may be delivering.
type tableNames struct {
	mu sync.Mutex
	of map[uint32]string
}

func (n *tableNames) set(table uint32, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[table] = name
}

func (n *tableNames) get(table uint32) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.of[table]
}
