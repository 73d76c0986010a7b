package serve_test

import (
	"maps"
	"os"
	"slices"
	"testing"

	"pgrelay/relay/pgserver"
	"pgrelay/triggers"
)

// capture is a way in which a test's tables are captured.
type capture struct {
	name    string
	trigger bool
	kind
}

// On 15 triggers do without logical replication, so they capture the rules as well; on 18 both ways are used at once.
var (
	logical15 = capture{"logical 15", false, kind{15, "logical"}}
	logical18 = capture{"logical 18", false, kind{18, "logical"}}
	trigger15 = capture{"trigger 15", true, kind{15, "replica"}}
	trigger18 = capture{"trigger 18", true, kind{18, "logical"}}
)

// captures runs one test by several ways of capture: what they deliver is the same. Where the race detector makes all of
// them take many minutes, those by trigger of a test that runs by logical replication too wait for PGRELAY_CAPTURES=all.
func captures(t *testing.T, test func(t *testing.T, c capture), ways ...capture) {
	short := slowness > 1 && os.Getenv("PGRELAY_CAPTURES") == "" && slices.ContainsFunc(ways, func(c capture) bool { return !c.trigger })
	for _, c := range ways {
		if short && c.trigger {
			continue
		}
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

// server is the shared one.
func (c capture) server(t *testing.T) *pgserver.Server {
	t.Helper()
	return sharedKind(t, c.kind)
}

// own is a server of the test's own.
func (c capture) own(t *testing.T, settings map[string]string) *pgserver.Server {
	t.Helper()
	all := map[string]string{"wal_level": c.walLevel}
	maps.Copy(all, settings)
	return pgserver.ForTest(t, pgserver.Config{Version: c.version, Settings: all})
}

// take has tables captured; without logical replication all that there are.
func (c capture) take(d *database, tables ...string) {
	d.t.Helper()
	if !c.trigger {
		return
	}
	d.install(tables...)
	if c.walLevel == "replica" {
		d.exec(`select relay.enable_table(oid::regclass) from pg_class where relkind in ('r', 'p') and not relispartition
			and relnamespace in ('public'::regnamespace, 'web_socket_event_system_events'::regnamespace)`)
	}
}

// install makes the outbox and has triggers capture tables.
func (d *database) install(tables ...string) {
	d.t.Helper()
	d.exec(triggers.Install(""))
	for _, table := range tables {
		d.exec(triggers.Enable(triggers.Table{Name: table}))
	}
}
