package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/serve"
)

// TestRulesWait: when the wait is over, a row that an edit hides no longer comes, however soon it is written.
func TestRulesWait(t *testing.T) {
	captures(t, func(t *testing.T, c capture) {
		d := newDatabase(t, c.server(t), people+`; alter table people replica identity full`, "public.people")
		c.take(d, "people")
		r := d.start(func(c *serve.Config) { c.Admin = "127.0.0.1:0" })
		r.ready(t)
		wait := func() {
			response, err := http.Post("http://"+r.AdminAddr().String()+"/rules/wait", "", nil)
			must(t, err)
			_ = response.Body.Close()
			if response.StatusCode != http.StatusNoContent {
				t.Fatalf("got %s, want 204", response.Status)
			}
		}
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.people")
		m.live(id)
		for round := range 20 {
			d.exec(`update ` + rules + ` set predicate = 'id < 0'`)
			wait()
			d.exec(fmt.Sprintf(`insert into people values (%d, 'hidden')`, 1000+round))
			d.exec(`update ` + rules + ` set predicate = 'name <> ''hidden'''`)
			wait()
		}
		d.exec(`delete from people where name = 'hidden'`)
		m.has(d, id, "people")
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, msg := range m.messages {
			text, err := json.Marshal(msg)
			must(t, err)
			if bytes.Contains(text, []byte("hidden")) {
				t.Errorf("a hidden row came: %s", text)
			}
		}
	}, logical15, logical18, trigger15)
}
