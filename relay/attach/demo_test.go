package attach_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/attach"
	"pgrelay/relay/demo"
	"pgrelay/relay/warehouse"
)

// TestDemo: the demo's databases, with the role that its relay connects as.
func TestDemo(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		ctx := t.Context()
		d, err := demo.Start(ctx, demo.Config{Version: version})
		must(t, err)
		t.Cleanup(func() { must(t, d.Close()) })
		cfg := attach.Config{Warehouse: warehouse.Config{DSN: d.WarehouseDSN()}, Role: "admin"}
		found, err := warehouse.Discover(ctx, cfg.Warehouse)
		must(t, err)
		listings := func() map[string]string {
			all := map[string]string{}
			for _, s := range found.Sources {
				conn, err := pgx.ConnectConfig(ctx, s.Conn.Copy())
				must(t, err)
				var text string
				must(t, conn.QueryRow(ctx, listingSQL).Scan(&text))
				must(t, conn.Close(context.Background()))
				if all[s.Name] = text; version == 15 {
					all[s.Name] += schemaDump(t, s.Conn)
				}
			}
			return all
		}
		before := listings()
		h := &house{t: t, ctx: ctx}
		apply := func(f func(context.Context, attach.Config, func(attach.Progress)) ([]*attach.Outcome, error)) {
			t.Helper()
			outcomes, err := f(ctx, cfg, h.tell)
			must(t, err)
			h.whole(outcomes)
		}
		apply(attach.ApplyAttach)
		h.told = nil
		if apply(attach.ApplyAttach); len(h.told) > 0 {
			t.Errorf("again does %+v", h.told)
		}
		apply(attach.ApplyDetach)
		for name, after := range listings() {
			same(t, name, after, before[name])
		}
	})
}
