package doctor

import (
	"fmt"
	"testing"

	"pgrelay/relay/pgserver"
)

// BenchmarkExamine looks at one database of a thousand tables, all of them published.
func BenchmarkExamine(b *testing.B) {
	const tables = 1000
	s := pgserver.ForTest(b, pgserver.Config{Version: 18, Settings: settings(18)})
	ctx := b.Context()
	if err := s.Exec(ctx, "postgres", fmt.Sprintf(`do $$ begin for i in 1..%d loop execute format('create table t%%s (id bigint primary key, a text, b int)', i); end loop; end $$;
		create publication pgrelay for tables in schema public`, tables)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		report, err := Examine(ctx, Config{Warehouse: warehouseConfig(s.DSN("postgres"))})
		if err != nil || report.Tables != tables {
			b.Fatal(err, report)
		}
	}
}
