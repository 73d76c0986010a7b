package publication

import (
	"slices"
	"strings"
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

// TestChanges: what Changes lists makes what Ensure would, but for members that belong to none of the relations.
func TestChanges(t *testing.T) {
	on(t, func(t *testing.T, server *pgserver.Server) {
		conn := open(t, server)
		exec(t, conn, tables)
		a, root, keyless := relation(t, conn, "a"), relation(t, conn, "leaf1", "leaf2"), insertOnly(relation(t, conn, "keyless"))
		run := func(relations ...*relay.Relation) (done []string) {
			t.Helper()
			changes, err := Changes(t.Context(), conn, "pgrelay", relations)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				for _, s := range c.Statements {
					exec(t, conn, s)
					done = append(done, s)
				}
				if added := strings.Contains(c.Statements[len(c.Statements)-1], " add table "); added != (c.Adds != 0) {
					t.Errorf("%q adds %d", c.Statements, c.Adds)
				}
			}
			return done
		}
		run(a, keyless)
		want(t, "full", members(t, conn, "pgrelay"), []string{"a"})
		want(t, "insert only", members(t, conn, "pgrelay_insert"), []string{"keyless"})
		if left := run(a, keyless); len(left) > 0 {
			t.Errorf("again: %q", left)
		}
		run(root)
		want(t, "with others left", members(t, conn, "pgrelay"), []string{"a", "leaf1", "leaf2"})
		root.Capture = relay.CaptureTrigger
		if got := run(root, insertOnly(relation(t, conn, "a"))); !slices.Equal(got, []string{"alter publication pgrelay drop table only public.a;", "alter publication pgrelay drop table only public.leaf1;",
			"alter publication pgrelay drop table only public.leaf2;", "alter publication pgrelay_insert add table only public.a;"}) {
			t.Errorf("got %q", got)
		}
		before := listing(t, conn)
		ensured(t, conn, insertOnly(relation(t, conn, "a")), keyless)
		if now := listing(t, conn); now != before {
			t.Errorf("Ensure changed\n%s\nto\n%s", before, now)
		}
	})
}
