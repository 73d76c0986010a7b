package warehouse

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgrelay/relay"
)

// unreachable says why a connection failed and what to try. who is "the warehouse" or `foreign server "x"`.
func unreachable(who string, conf *pgx.ConnConfig, err error) error {
	p := &Problem{What: fmt.Sprintf("can't connect to %s at %s as %q: %s", who, address(conf), conf.User, cause(err))}
	var pg *pgconn.PgError
	errors.As(err, &pg)
	name, foreign := strings.CutPrefix(who, "foreign server ")
	switch {
	case pg == nil && foreign:
		p.Remedy = fmt.Sprintf("if the relay reaches that host under another name, map it in pgrelay.yaml:\nhosts: {%q: \"host:port\"}", hostPort(conf))
	case pg == nil:
		p.Remedy = "check host and port in the DSN, and that the server listens there"
	case strings.HasPrefix(pg.Code, "28") && foreign:
		p.Remedy = fmt.Sprintf("give the role and password in pgrelay.yaml:\ncredentials: {%s: {user: …, password: …}}", name)
	case strings.HasPrefix(pg.Code, "28"):
		p.Remedy = "check user and password in the DSN, and pg_hba.conf"
	case pg.Code == "3D000":
		p.Remedy = fmt.Sprintf("check the database's name; %q isn't there", conf.Database)
	case pg.Code == "42501":
		p.Remedy = fmt.Sprintf("grant connect on database %s to %s;", relay.Ident(conf.Database), relay.Ident(conf.User))
	case pg.Code == "53300":
		p.Remedy = "raise max_connections, or close idle sessions"
	}
	return p
}

// cause is the server's own message where there is one, else the last of the chain that the driver wraps.
func cause(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Message
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return line(connect.Unwrap())
	}
	return line(err)
}

func hostPort(conf *pgx.ConnConfig) string {
	a, _, _ := strings.Cut(address(conf), "/"+conf.Database)
	return a
}
