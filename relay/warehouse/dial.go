package warehouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func (c Config) timeout() time.Duration {
	if c.DialTimeout <= 0 {
		return 5 * time.Second
	}
	return c.DialTimeout
}

// parse reads the DSN. A malformed one isn't repeated in the error: where its password begins and ends is unknown then.
func (c Config) parse() (*pgx.ConnConfig, error) {
	conf, err := pgx.ParseConfig(c.DSN)
	if err != nil {
		return nil, &Problem{
			What:   "the warehouse's DSN can't be read: it is neither a postgres:// URL nor keyword=value pairs, or names a file or service that isn't there",
			Remedy: "postgres://user:password@host:5432/database with special characters percent-encoded",
		}
	}
	c.settle(conf)
	return conf, nil
}

func (c Config) settle(conf *pgx.ConnConfig) {
	conf.ConnectTimeout = c.timeout()
	conf.RuntimeParams["application_name"] = ApplicationName
	// A pooler gives each transaction another session: no statement stays prepared.
	// https://www.pgbouncer.org/features.html#sql-feature-map-for-pooling-modes
	conf.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
}

// Connect opens a session in the warehouse.
func (c Config) Connect(ctx context.Context) (*pgx.Conn, error) {
	conf, err := c.parse()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, unreachable("the warehouse", conf, err)
	}
	return conn, nil
}

// endpoint is where one of a server's hosts leads, for the relay.
type endpoint struct{ host, port string }

// resolve takes a server's host and port from the warehouse's machine to the relay's, as the package comment says.
func (c Config) resolve(host, port string, own *pgx.ConnConfig) endpoint {
	absent := host == ""
	if port == "" {
		port = "5432"
		if absent {
			port = strconv.Itoa(int(own.Port))
		}
	}
	name := host
	if absent {
		name = "localhost"
	}
	for _, key := range []string{name + ":" + port, name} {
		if to, ok := c.Hosts[key]; ok {
			return split(to, port)
		}
	}
	if here(host) && (absent || !here(own.Host)) {
		host = own.Host
	}
	return endpoint{host, port}
}

// split reads "host", "host:port", "[v6]:port", a bare v6 address or a socket folder.
func split(to, port string) endpoint {
	if strings.HasPrefix(to, "/") {
		return endpoint{to, port}
	}
	if h, p, err := net.SplitHostPort(to); err == nil {
		return endpoint{h, p}
	}
	return endpoint{strings.Trim(to, "[]"), port}
}

// here tells whether a host means the machine that reads it.
func here(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// passed are the options of a server or mapping that mean the same to pgx as to libpq; host, port, user and password
// are taken apart, and the rest concerns postgres_fdw or the warehouse's sessions.
var passed = []string{"sslmode", "sslnegotiation", "sslcert", "sslkey", "sslcertmode", "sslrootcert", "sslpassword", "sslsni",
	"krbsrvname", "channel_binding", "require_auth", "target_session_attrs", "service", "min_protocol_version", "max_protocol_version"}

// dialer builds the connection to what a foreign server leads to. The password never goes through a connection string,
// which an error might show.
func (c Config) dialer(s server, own *pgx.ConnConfig) (*pgx.ConnConfig, error) {
	hosts, ports := strings.Split(s.options["host"], ","), strings.Split(s.options["port"], ",")
	addrs := strings.Split(s.options["hostaddr"], ",")
	var dialHosts, dialPorts []string
	for i := range max(len(hosts), len(addrs)) {
		host := at(hosts, i)
		if a := at(addrs, i); a != "" {
			host = a
		}
		port := at(ports, i)
		if len(ports) == 1 {
			port = ports[0]
		}
		e := c.resolve(host, port, own)
		dialHosts, dialPorts = append(dialHosts, e.host), append(dialPorts, e.port)
	}
	pairs := []string{
		"host=" + keyword(strings.Join(dialHosts, ",")), "port=" + keyword(strings.Join(dialPorts, ",")),
		"user=" + keyword(s.user), "dbname=" + keyword(s.database()), "password=''", // not PGPASSWORD: that is the warehouse's
	}
	var sslPassword string
	for _, name := range passed {
		value, ok := s.options[name]
		switch {
		case !ok:
		case name == "sslpassword":
			sslPassword = value
		default:
			pairs = append(pairs, name+"="+keyword(value))
		}
	}
	conf, err := pgx.ParseConfigWithOptions(strings.Join(pairs, " "), pgx.ParseConfigOptions{
		ParseConfigOptions: pgconn.ParseConfigOptions{GetSSLPassword: func(context.Context) string { return sslPassword }},
	})
	if err != nil {
		return nil, &Problem{
			What:   fmt.Sprintf("the options of foreign server %q can't be used from here: %s", s.name, line(err)),
			Remedy: "files and services that a foreign server names must exist on the relay's machine under the same path",
		}
	}
	if s.password != "" {
		conf.Password = s.password
	}
	if name := at(hosts, 0); at(addrs, 0) != "" && name != "" && conf.TLSConfig != nil {
		conf.TLSConfig.ServerName = name
	}
	c.settle(conf)
	return conf, nil
}

func at(list []string, i int) string {
	if i < len(list) {
		return strings.TrimSpace(list[i])
	}
	return ""
}

// keyword quotes a value of a keyword=value connection string.
// https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE
func keyword(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// connect opens a session, and in it a transaction that sees one state of the catalog and prints names in full, whatever the
// role's own search_path. done ends both.
func connect(ctx context.Context, conf *pgx.ConnConfig) (conn *pgx.Conn, done func(), err error) {
	conn, err = pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, nil, err
	}
	tx, err := conn.BeginTx(ctx, oneState)
	if err == nil {
		_, err = conn.Exec(ctx, pins) // not for the session: a pooler would give that to the next client as it is
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, func() {
		ctx := context.WithoutCancel(ctx)
		_ = tx.Rollback(ctx) // nothing was written
		_ = conn.Close(ctx)
	}, nil
}

func address(conf *pgx.ConnConfig) string {
	if strings.HasPrefix(conf.Host, "/") {
		return fmt.Sprintf("%s:%d/%s", conf.Host, conf.Port, conf.Database)
	}
	return net.JoinHostPort(conf.Host, strconv.Itoa(int(conf.Port))) + "/" + conf.Database
}

// line is an error on one line.
func line(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
