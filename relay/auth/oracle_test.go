package auth

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay/pgserver"
)

// TestClaimsAsPostgresReadsThem: what is accepted is a jsonb, and what Postgres refuses is refused.
func TestClaimsAsPostgresReadsThem(t *testing.T) {
	server := pgserver.ForTest(t, pgserver.Config{Version: 15})
	if err := server.CreateDatabase(t.Context(), "claims"); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), server.DSN("claims"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	v := verifier(t, Config{Secret: secret})
	digits := func(n int) string { return strings.Repeat("9", n) }
	for _, value := range []string{`"\u0000"`, `"\\u0000"`, `"\ud800"`, `"\udc00"`, `"\ud83d\ude00"`, `"\ud83d\\ude00"`, `"\ude00\ud83d"`, "\"\xc0\x80\"", `"\uFFFF"`,
		"0", "-0", "-0.0", "1e0", "1E+2", "1.50", "1e131071", "1e131072", "1e131073", "9.9e131071", "9.9e131072", "0.001e131074", "0.001e131075",
		"0e131072", "0e99999", "0e999999", "1e-16383", "1e-16384", "1.5e-16382", "1.5e-16383", "0.0e-16382", "0.0e-16383", "1e99999999999", "-1e-99999999999",
		"1e2147483647", "1e-2147483648", "0e1073741822", "0e1073741823", "0e-16383", "0e-16384",
		digits(9000), "0." + digits(9000), digits(4000) + "e127072", digits(4000) + "e127073", "0." + digits(4000) + "e-12383", "0." + digits(4000) + "e-12384",
		"000", "1.", ".5", "+1", "NaN", `[1,]`, `{"a":{"b":[null,true]}}`, `{"":""}`} {
		_, err := v.Verify(signed(hs256, `{"a":`+value+`}`, secret), now)
		var reads bool
		row := conn.QueryRow(t.Context(), "select $1::text::jsonb is not null", `{"a":`+value+`}`)
		refusal := row.Scan(&reads)
		if name := value[:min(len(value), 40)]; (err == nil) != (refusal == nil) {
			t.Errorf("%s: got %v, Postgres says %v", name, err, refusal)
		}
	}
}
