package doctor

import (
	"os"
	"strings"
	"testing"

	"pgrelay/relay"
	"pgrelay/triggers"
)

// TestOlderOutbox: of an outbox that an older version made nothing is to be said once install.sql has run, and a relay goes on
// with it.
func TestOlderOutbox(t *testing.T) {
	script, err := os.ReadFile("../../triggers/testdata/older.sql")
	must(t, err)
	versions(t, func(t *testing.T, version int) {
		d := newDatabase(t, sharedServer(t, version))
		d.exec(strings.ReplaceAll(string(script), ":'reader'", relay.Literal("relay_role")))
		d.lines(captureItems + "select relay.doorbell('on');\nselect relay.begin_epoch('test');\nselect relay.finish_epoch('1', 1);\ninsert into items values (1, 1, 1);")
		d.exec(triggers.Install(""))
		if got := examine(t, d.dsn(), func(c *Config) { c.Ignore = []string{"outbox_unread"} }).Findings; len(got) > 0 {
			t.Errorf("after it\n%s", show(got))
		}
		d.relay(t)
		if got := examine(t, d.dsn(), nil).Findings; len(got) > 0 {
			t.Errorf("beside a relay\n%s", show(got))
		}
	})
}
