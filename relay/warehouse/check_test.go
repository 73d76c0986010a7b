package warehouse

import (
	"testing"

	"pgrelay/relay/pgserver"
)

func TestCheck(t *testing.T) {
	on(t, func(t *testing.T, s *pgserver.Server) {
		create(t, s, "w")
		execute(t, s, "w", `create table t (id int primary key); create role plain login password 'p'; create role repl login replication password 'p'`)
		check := func(user string) error {
			source := discover(t, Config{DSN: s.DSN("w")}).source(t, "local")
			conf := source.Conn.Copy()
			if user != "" {
				conf.User, conf.Password = user, "p"
			}
			return source.Check(t.Context(), dial(t, conf))
		}
		for _, user := range []string{"", "repl"} {
			if err := check(user); err != nil {
				t.Errorf("as %q: %v", user, err)
			}
		}
		p := remedy(t, check("plain"))
		wantText(t, "role", p.What, `role "plain" has no REPLICATION`)
		wantText(t, "role", p.Remedy, "alter role plain replication;")
		for _, setting := range []string{"*", "FIRST 1 (a, pgrelay)", `ANY 1 ("PGRELAY", b)`} {
			execute(t, s, "w", `alter system set synchronous_standby_names = '`+setting+`'`)
			execute(t, s, "w", `select pg_reload_conf()`)
			await(t, s, "synchronous_standby_names", setting)
			p = remedy(t, check(""))
			wantText(t, setting, p.What, "synchronous standby")
		}
	})
}

func await(t *testing.T, s *pgserver.Server, setting, value string) {
	t.Helper()
	for got := ""; got != value; {
		conn, err := s.Admin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRow(t.Context(), `select current_setting($1)`, setting).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckServer(t *testing.T) {
	for _, c := range []struct{ setting, value, what, remedy string }{
		{"wal_level", "replica", "wal_level is replica", "alter system set wal_level = logical;"},
		{"max_replication_slots", "3", "3 of 3 replication slots are free", "max_replication_slots = 4"},
		{"max_wal_senders", "0", "max_wal_senders is 0", "max_wal_senders = 10"},
	} {
		t.Run(c.setting, func(t *testing.T) {
			s := pgserver.ForTest(t, pgserver.Config{Version: 18, Settings: map[string]string{c.setting: c.value}})
			execute(t, s, "postgres", `create table t (id int primary key)`)
			source := discover(t, Config{DSN: s.DSN("postgres")}).source(t, "local")
			p := remedy(t, source.Check(t.Context(), dial(t, source.Conn)))
			wantText(t, "what", p.What, c.what, "source local", "/postgres")
			wantText(t, "remedy", p.Remedy, c.remedy)
		})
	}
}

func TestCheckEncoding(t *testing.T) {
	s := pgserver.ForTest(t, pgserver.Config{Version: 15})
	execute(t, s, "postgres", `create database ascii encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0`)
	execute(t, s, "ascii", `create table t (id int primary key)`)
	source := discover(t, Config{DSN: s.DSN("ascii")}).source(t, "local")
	wantText(t, "what", remedy(t, source.Check(t.Context(), dial(t, source.Conn))).What, "SQL_ASCII")
}

func TestMatchesStandby(t *testing.T) {
	for setting, want := range map[string]bool{
		"": false, "a, b": false, "FIRST 2 (a, b)": false, "pgrelay2": false, `"pg""relay"`: false,
		"*": true, `"*"`: true, "a, PgRelay": true, "any 1 ( pgrelay )": true, "2 (a, pgrelay)": true, `"pgrelay"`: true,
	} {
		wantEqual(t, setting, matchesStandby(setting, ApplicationName), want)
	}
}
