package demo

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestEveryActionDoesSomething carries each action out often enough for its effect to show: the rows that it changed.
func TestEveryActionDoesSomething(t *testing.T) {
	d, err := Start(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, a := range actions {
		conn, err := pgx.Connect(t.Context(), d.dsn(d.services, a.service, a.service))
		if err != nil {
			t.Fatal(err)
		}
		var affected int64
		for range 20 {
			tag, err := conn.Exec(t.Context(), a.sql)
			if err != nil {
				t.Errorf("%s: %v", a.name, err)
			}
			affected += tag.RowsAffected()
		}
		if affected == 0 {
			t.Errorf("%s: 20 times without a row", a.name)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
