package warehouse

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// watchSQL reads everything that Discover's answer depends on, as one text. Temporary tables come and go with sessions
// and are left out; a local table's columns are its source's Fingerprint's business.
const watchSQL = `
select coalesce((select pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.oid, n.nspname, c.relname, c.relkind, c.relpersistence,
    c.relispartition, f.ftserver, f.ftoptions, (select pg_catalog.string_agg(g.tgname, ' ' order by g.tgname) from pg_catalog.pg_trigger g
      where g.tgrelid = f.ftrelid and g.tgname ~ '^!relay_')), e'\n' order by c.oid)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_foreign_table f on f.ftrelid = c.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't' and ` + userSchemas + `), ''),
 coalesce((select pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,
    a.attfdwoptions, t.typname, t.typnamespace), e'\n' order by a.attrelid, a.attnum)
  from pg_catalog.pg_foreign_table f
  join pg_catalog.pg_attribute a on a.attrelid = f.ftrelid and a.attnum > 0 and not a.attisdropped
  join pg_catalog.pg_type t on t.oid = a.atttypid), ''),
 coalesce((select pg_catalog.string_agg(pg_catalog.concat_ws(' ', i.inhparent, i.inhrelid, i.inhdetachpending), e'\n' order by i.inhrelid, i.inhparent)
  from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhparent and c.relkind = 'p'), ''),
 coalesce((select pg_catalog.string_agg(pg_catalog.concat_ws(' ', s.oid, s.srvname, s.srvoptions, m.umid, m.umoptions), e'\n' order by s.oid, m.umid)
  from pg_catalog.pg_foreign_server s
  left join pg_catalog.pg_user_mappings m on m.srvid = s.oid and (m.umuser = 0 or m.usename = current_user)), '')`

// watchKey makes a fingerprint useless for guessing the passwords that it depends on. It is new in every process, so
// fingerprints are compared within one process only.
var watchKey = func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails: crypto/rand
	return key
}()

// Watch returns the warehouse's fingerprint: while it equals Warehouse.Fingerprint, Discover would find the same.
// It is one query, cheap enough for once a second, over a session of the DSN's role.
func Watch(ctx context.Context, conn *pgx.Conn) (string, error) {
	var parts [4]string
	if err := conn.QueryRow(ctx, watchSQL).Scan(&parts[0], &parts[1], &parts[2], &parts[3]); err != nil {
		return "", fmt.Errorf("watch the warehouse: %w", err)
	}
	mac := hmac.New(sha256.New, watchKey)
	for _, p := range parts {
		fmt.Fprintf(mac, "%d\n%s\n", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:18]), nil
}
