package warehouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"pgrelay/relay"
	"pgrelay/relay/pgserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// versions are those on which everything here runs.
var versions = []int{15, 18}

// on runs a test with a server of its own for each version.
func on(t *testing.T, body func(t *testing.T, s *pgserver.Server)) {
	for _, v := range versions {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			body(t, pgserver.ForTest(t, pgserver.Config{Version: v}))
		})
	}
}

func execute(t *testing.T, s *pgserver.Server, database, sql string) {
	t.Helper()
	if err := s.Exec(t.Context(), database, sql); err != nil {
		t.Fatalf("%v in\n%s", err, sql)
	}
}

func create(t *testing.T, s *pgserver.Server, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := s.CreateDatabase(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

func discover(t *testing.T, cfg Config) *Warehouse {
	t.Helper()
	w, err := Discover(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *Warehouse) source(t *testing.T, name string) *Source {
	t.Helper()
	for _, s := range w.Sources {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no source %q among %v", name, w.names())
	return nil
}

func (w *Warehouse) names() (names []string) {
	for _, s := range w.Sources {
		names = append(names, s.Name)
	}
	return names
}

func dial(t *testing.T, conf *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func inspect(t *testing.T, s *Source) *Inspection {
	t.Helper()
	if s.Err != nil {
		t.Fatalf("source %s: %v", s.Name, s.Err)
	}
	in, err := s.Inspect(t.Context(), dial(t, s.Conn))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// local inspects the one database of the DSN.
func local(t *testing.T, cfg Config) *Inspection {
	t.Helper()
	return inspect(t, discover(t, cfg).source(t, "local"))
}

func (in *Inspection) relation(t *testing.T, name string) *relay.Relation {
	t.Helper()
	for _, r := range in.Relations {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no relation %q; refused: %v", name, in.Refused)
	return nil
}

func find(t *testing.T, list []Skip, name string) Skip {
	t.Helper()
	i := slices.IndexFunc(list, func(s Skip) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("%q is not in %v", name, list)
	}
	return list[i]
}

func wantText(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%s: got %q, want it to hold %q", what, got, part)
		}
	}
}

func wantEqual[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantList(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func remedy(t *testing.T, err error) *Problem {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a Problem", err)
	}
	return p
}

func columnNames(r *relay.Relation) (names []string) {
	for _, c := range r.Columns {
		names = append(names, c.Name)
	}
	return names
}
