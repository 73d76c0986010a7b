package demo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"

	"pgrelay/relay/demo"
	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, version int) *demo.Demo {
	t.Helper()
	d, err := demo.Start(t.Context(), demo.Config{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.Close(), d.Close()); err != nil {
			t.Error(err)
		}
		for _, s := range []*pgserver.Server{d.Services(), d.Warehouse()} {
			if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("folder after Close: got %v, want it gone", err)
			}
		}
	})
	return d
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func one[T any](t *testing.T, conn *pgx.Conn, query string) (got T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got
}

func TestDemo(t *testing.T) {
	for _, version := range []int{18, 15} {
		if _, err := pgserver.Find(version); err != nil {
			continue
		}
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			d := start(t, version)
			conn := connect(t, d.WarehouseDSN())
			for query, want := range map[string]int{
				"select count(*) from profiles.users":                                                320,
				"select count(*) from orders.products":                                               60,
				"select count(*) from orders.orders":                                                 3000,
				"select count(*) from web_socket_event_system_events.rules":                          5,
				"select count(*) from orders.orders where total > 0":                                 3000,
				"select count(distinct customer_id) from orders.orders":                              300,
				"select count(*) from orders.orders o join profiles.users u on u.id = o.customer_id": 3000,
				"select count(*) from pg_roles where rolname = current_user and rolsuper":            0,
			} {
				if got := one[int](t, conn, query); got != want {
					t.Errorf("%s: got %d, want %d", query, got, want)
				}
			}
			for _, query := range []string{"select count(*) from orders.order_lines", "select count(*) from orders.payments"} {
				if got := one[int](t, conn, query); got < 2000 {
					t.Errorf("%s: got %d, want some thousand", query, got)
				}
			}
			service := connect(t, roleDSN(t, conn, "orders"))
			if got := one[int](t, service, "select count(*) from pg_inherits where inhparent = 'orders.payments'::regclass"); got < 4 {
				t.Errorf("payments: got %d leaves, want several", got)
			}
			testRate(t, d)
		})
	}
}

// roleDSN is a service's connection string as the warehouse's user mappings tell it.
func roleDSN(t *testing.T, conn *pgx.Conn, server string) string {
	t.Helper()
	return one[string](t, conn, `select string_agg(o.option_name || '=' || o.option_value, ' ') || ' sslmode=disable'
		from pg_foreign_server s join pg_user_mappings m on m.srvid = s.oid,
		pg_options_to_table(s.srvoptions || m.umoptions) o where s.srvname = '`+server+`'`)
}

// TestTrafficTouchesEveryTable runs the traffic until each table of both services has changed in each way that it does.
func TestTrafficTouchesEveryTable(t *testing.T) {
	d := start(t, 0)
	if err := d.SetRate(demo.MaxRate); err != nil {
		t.Fatal(err)
	}
	warehouse := connect(t, d.WarehouseDSN())
	wanted := map[string][]string{"profiles": {"users iud"}, "orders": {"products u", "orders iud", "order_lines id", "payments id"}}
	for service, tables := range wanted {
		if err := d.Services().Exec(t.Context(), service, journal); err != nil {
			t.Fatal(err)
		}
		for _, entry := range tables {
			table, _, _ := strings.Cut(entry, " ")
			if err := d.Services().Exec(t.Context(), service, fmt.Sprintf(watch, service, table)); err != nil {
				t.Fatal(err)
			}
		}
	}
	listeners := map[string]*pgx.Conn{}
	for service := range wanted {
		listeners[service] = connect(t, roleDSN(t, warehouse, service))
		if _, err := listeners[service].Exec(t.Context(), "listen seen"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.Traffic(ctx) }()
	for service, tables := range wanted {
		missing := map[string]bool{}
		for _, entry := range tables {
			table, operations, _ := strings.Cut(entry, " ")
			for _, operation := range operations {
				missing[table+" "+string(operation)] = true
			}
		}
		for len(missing) > 0 {
			n, err := listeners[service].WaitForNotification(t.Context())
			if err != nil {
				t.Fatalf("%s: %v, still missing %v", service, err, missing)
			}
			delete(missing, n.Payload)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// journal and watch are triggers that tell of a table's changes: "users i", "users u", "users d".
const (
	journal = `create function public.tell() returns trigger language plpgsql as $$ begin
		perform pg_notify('seen', split_part(tg_argv[0], '.', 2) || ' ' || lower(left(tg_op, 1))); return null; end $$`
	watch = `create trigger tell after insert or update or delete on %[1]s.%[2]s for each row execute function public.tell('%[1]s.%[2]s')`
)

// TestTrafficOutlivesARestart restarts the services under the traffic, which goes on afterwards.
func TestTrafficOutlivesARestart(t *testing.T) {
	d := start(t, 0)
	if err := d.SetRate(200); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- d.Traffic(ctx) }()
	if err := d.Services().Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Services().Exec(t.Context(), "profiles", journal); err != nil {
		t.Fatal(err)
	}
	if err := d.Services().Exec(t.Context(), "profiles", fmt.Sprintf(watch, "profiles", "users")); err != nil {
		t.Fatal(err)
	}
	listener := connect(t, d.Services().DSN("profiles"))
	if _, err := listener.Exec(t.Context(), "listen seen"); err != nil {
		t.Fatal(err)
	}
	if _, err := listener.WaitForNotification(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func testRate(t *testing.T, d *demo.Demo) {
	t.Helper()
	for _, c := range []struct {
		method, kind, body string
		status             int
		want               float64
	}{
		{"GET", "", "", 200, 8},
		{"POST", "application/json", `{"rate": 25.5}`, 200, 25.5},
		{"POST", "application/json; charset=utf-8", `{"rate": 0}`, 200, 0},
		{"POST", "application/json", `{"rate": -1}`, 400, 0},
		{"POST", "application/json", `{"rate": 1e9}`, 400, 0},
		{"POST", "application/json", `{}`, 400, 0},
		{"POST", "application/json", `{`, 400, 0},
		{"POST", "text/plain", `{"rate": 1}`, 415, 0},
		{"DELETE", "", "", 405, 0},
	} {
		r := httptest.NewRequest(c.method, demo.RatePath, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, r)
		if w.Code != c.status || d.Rate() != c.want {
			t.Errorf("%s %s: got %d and rate %v, want %d and %v", c.method, c.body, w.Code, d.Rate(), c.status, c.want)
		}
		if w.Code == http.StatusOK && w.Body.String() != fmt.Sprintf("{\"rate\":%v,\"max\":1000}\n", c.want) {
			t.Errorf("%s %s: got %s", c.method, c.body, w.Body)
		}
	}
}

// TestWarehouseSetUpByHand runs the script with which warehouses were set up before there was sql/warehouse.sql.
func TestWarehouseSetUpByHand(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Superuser: "admin", Password: "password"})
	for _, database := range []string{"web_socket_event_system", "warehouse"} {
		if err := s.CreateDatabase(t.Context(), database); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{sql.System, sql.DemoRules} {
		script, err := sql.Read(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(t.Context(), "web_socket_event_system", script); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile(filepath.Join("testdata", "fdw.sql"))
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("'localhost'", "'127.0.0.1'", "'5432'", "'"+strconv.Itoa(s.Port())+"'").Replace(string(script))
	if err := s.Exec(t.Context(), "warehouse", "create schema web_socket_event_system_events"); err != nil {
		t.Fatal(err)
	}
	if err := s.Exec(t.Context(), "warehouse", here); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, s.DSN("warehouse"))
	if got := one[int](t, conn, "select count(*) from web_socket_event_system_events.rules"); got != 5 {
		t.Errorf("rules: got %d, want 5", got)
	}
	_, err = conn.Exec(t.Context(), "insert into web_socket_event_system_events.rules (name) values ('x')")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		t.Errorf("a rule without target: got %v, want it refused", err)
	}
}
