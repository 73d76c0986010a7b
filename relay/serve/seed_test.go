package serve_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/client"
	"pgrelay/relay/pgserver"
	"pgrelay/sql"
)

// TestSeedScript: the script of testdata/seed, run against a warehouse as it stands there, gives one whose rules are
// those of the system database, whether they are edited there or through the warehouse.
func TestSeedScript(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		const password = "admin's Password-1"
		const name = "web_socket_event_system"
		system := pgserver.ForTest(t, pgserver.Config{Version: version})
		d := newDatabase(t, sharedServer(t, 15), items)
		d.exec(`drop schema web_socket_event_system_events cascade`) // this one is seen through the warehouse
		must(t, system.CreateDatabase(d.ctx, name))
		script, err := sql.Read(sql.System, nil)
		must(t, err)
		quoted := "'" + strings.ReplaceAll(password, "'", "''") + "'"
		admin := fmt.Sprintf(`create role admin superuser login password %s`, quoted)
		must(t, system.Exec(d.ctx, name, script+admin))
		d.exec(`do $$ begin if to_regrole('admin') is null then ` + admin + `; end if; end $$; create schema web_socket_event_system_events`)

		seed, err := os.ReadFile(filepath.Join("..", "..", "testdata", "seed", "fdw.sql"))
		must(t, err)
		conn, err := pgx.Connect(d.ctx, d.as("admin", password)) // whom the script makes a user mapping for
		must(t, err)
		_, err = conn.PgConn().Exec(d.ctx, strings.NewReplacer(":'host'", "'127.0.0.1'", ":'port'", fmt.Sprintf("'%d'", system.Port()), ":'password'", quoted).Replace(string(seed))).ReadAll()
		must(t, err)
		must(t, conn.Close(d.ctx))

		r := start(t, d.as("admin", password))
		r.ready(t)
		m := newMirror(t, r.url, client.Options{})
		id, bag := m.subscribe("public.items"), m.subscribe("public.heap")
		m.phase(id, client.Waiting, "not_found")
		must(t, system.Exec(d.ctx, name, `insert into web_socket_event_system_events.rules (name, relation, roles) values ('items', 'public.items', '{anon}')`))
		m.has(d, id, "items")
		warehouse, err := pgx.Connect(d.ctx, d.as("admin", password))
		must(t, err)
		_, err = warehouse.Exec(d.ctx, `insert into web_socket_event_system_events.rules (id, name, enabled, relation, roles, predicate) values (100, 'heap', true, 'public.heap', '{anon}', 'true')`)
		must(t, err)
		must(t, warehouse.Close(d.ctx))
		m.has(d, bag, "heap")
		must(t, system.Exec(d.ctx, name, `delete from web_socket_event_system_events.rules`))
		m.phase(id, client.Waiting, "not_found")
		if text := strings.Join(r.listed(), "\n"); !strings.Contains(text, "source gateway_event_server at 127.0.0.1:") {
			t.Errorf("the listing:\n%s", text)
		}
		if log := r.log.String(); strings.Contains(log, password) {
			t.Error("the password is in the log")
		}
	})
}
