package warehouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"pgrelay/relay"
)

func problem(what, remedy string) *Problem { return &Problem{What: what, Remedy: remedy} }

// minVersion is the oldest server_version_num that is supported.
const minVersion = 150000

// slotsNeeded at one source: the live slot, two anchors while one replaces the other, and a copy for a long catch-up.
const slotsNeeded = 4

type condition struct {
	standby         bool
	version         int
	encoding        string
	walLevel        string
	standbyNames    string
	role            string
	replication     bool
	freeSlots       int
	maxSlots        int
	maxSenders      int
	replicationRole bool
}

const conditionSQL = `
select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('server_version_num')::int4,
  pg_catalog.current_setting('server_encoding'), pg_catalog.current_setting('wal_level'),
  pg_catalog.current_setting('synchronous_standby_names'), current_user::text,
  (select r.rolreplication or r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user),
  (pg_catalog.current_setting('max_replication_slots')::int4 - (select pg_catalog.count(*) from pg_catalog.pg_replication_slots s
    where not (s.slot_name like 'pgrelay\_%' and s.database = pg_catalog.current_database())))::int4,
  pg_catalog.current_setting('max_replication_slots')::int4, pg_catalog.current_setting('max_wal_senders')::int4,
  exists (select from pg_catalog.pg_roles r where r.rolname = 'rds_replication' and pg_catalog.pg_has_role(r.oid, 'USAGE'))`

// Check says what keeps a database from being a source, of logical replication or ByTrigger, as a *Problem: the first of
// what it finds.
func (s *Source) Check(ctx context.Context, conn *pgx.Conn) error {
	var c condition
	err := conn.QueryRow(ctx, conditionSQL).Scan(&c.standby, &c.version, &c.encoding, &c.walLevel, &c.standbyNames,
		&c.role, &c.replication, &c.freeSlots, &c.maxSlots, &c.maxSenders, &c.replicationRole)
	if err != nil {
		return fmt.Errorf("check source %s: %w", s.Name, err)
	}
	p := c.problem()
	if s.trigger {
		p = c.server()
	}
	if p != nil {
		p.What = fmt.Sprintf("source %s (%s): %s", s.Name, s.Address(), p.What)
		return p
	}
	return nil
}

// server says what keeps the database from being a source of either way of capture.
func (c condition) server() *Problem {
	switch {
	case c.standby:
		return problem("it is a hot standby, which can't say what a snapshot saw",
			"point the foreign server (or hosts in pgrelay.yaml) at the primary")
	case c.version < minVersion:
		return problem(fmt.Sprintf("Postgres %d is too old", c.version/10000), "upgrade to Postgres 15 or newer")
	case c.encoding == "SQL_ASCII":
		return problem("its encoding is SQL_ASCII: what its bytes mean isn't known", "move it to a database with encoding UTF8")
	}
	return nil
}

func (c condition) problem() *Problem {
	if p := c.server(); p != nil {
		return p
	}
	switch {
	case c.walLevel != "logical":
		return problem(fmt.Sprintf("wal_level is %s", c.walLevel),
			"alter system set wal_level = logical;\nthen restart Postgres\nor capture by triggers: pgrelay attach --capture trigger")
	case matchesStandby(c.standbyNames, ApplicationName):
		return problem(fmt.Sprintf("synchronous_standby_names = '%s' would make the relay a synchronous standby for which commits wait", c.standbyNames),
			"alter system set synchronous_standby_names = '…'; with the standbys' own names, neither * nor "+ApplicationName+"\nselect pg_reload_conf();")
	case !c.replication && !c.replicationRole:
		return problem(fmt.Sprintf("role %q has no REPLICATION", c.role),
			fmt.Sprintf("alter role %s replication;\nor give another role under credentials in pgrelay.yaml", relay.Ident(c.role)))
	case c.freeSlots < slotsNeeded:
		return problem(fmt.Sprintf("%d of %d replication slots are free for the relay, which needs %d", max(c.freeSlots, 0), c.maxSlots, slotsNeeded),
			fmt.Sprintf("alter system set max_replication_slots = %d;\nthen restart Postgres, or drop slots that nobody reads", c.maxSlots+slotsNeeded-c.freeSlots))
	case c.maxSenders == 0:
		return problem("max_wal_senders is 0", "alter system set max_wal_senders = 10;\nthen restart Postgres")
	}
	return nil
}

// matchesStandby tells whether synchronous_standby_names would take a standby of this name.
// https://www.postgresql.org/docs/current/runtime-config-replication.html#GUC-SYNCHRONOUS-STANDBY-NAMES
func matchesStandby(setting, name string) bool {
	list := strings.TrimSpace(setting)
	if open := strings.IndexByte(list, '('); open >= 0 && !strings.Contains(list[:open], `"`) {
		list = strings.TrimSuffix(list[open+1:], ")")
	}
	for _, one := range strings.Split(list, ",") {
		one = strings.TrimSpace(one)
		if len(one) >= 2 && one[0] == '"' && one[len(one)-1] == '"' {
			one = strings.ReplaceAll(one[1:len(one)-1], `""`, `"`)
		}
		if one == "*" || strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}
