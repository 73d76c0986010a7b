package attach_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgrelay/relay"
	"pgrelay/relay/attach"
	"pgrelay/relay/warehouse"
)

// TestWaitsInShortSteps: while a reader holds the table, attach tries again and again, names the reader, and no query of the
// application waits behind it longer than a step; when the reader ends, it is done.
func TestWaitsInShortSteps(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := shop(t, version)
		reader, app := h.connect("profiles"), h.connect("profiles")
		_, err := reader.Exec(h.ctx, `begin; select * from users`)
		must(t, err)
		done := make(chan error, 1)
		var outcomes []*attach.Outcome
		go func() {
			var err error
			outcomes, err = attach.ApplyAttach(h.ctx, h.config(), h.tell)
			done <- err
		}()
		// What waits for a lock behind attach's waits at most 500 ms; without that it would wait for the reader, who waits for it.
		_, err = app.Exec(h.ctx, `set lock_timeout = '1s'`)
		must(t, err)
		behind := 0
		await(t, func() (string, bool) {
			if _, err := app.Exec(h.ctx, `select count(*) from users; update users set body = body where id = 1`); err != nil {
				t.Fatalf("a query of the application: %v", err)
			}
			for _, reason := range h.waits() {
				if !strings.Contains(reason, "users is locked by process "+fmt.Sprint(reader.PgConn().PID())+" of postgres, in a transaction since") {
					t.Fatalf("it waits for %q", reason)
				}
			}
			behind++
			return fmt.Sprintf("4 attempts; there were %q", h.waits()), len(h.waits()) >= 4
		})
		select {
		case err := <-done:
			t.Fatalf("it is done under the reader: %v", err)
		default:
		}
		_, err = reader.Exec(h.ctx, `commit`)
		must(t, err)
		must(t, <-done)
		h.whole(outcomes)
		t.Logf("%d rounds of the application's queries passed during %d attempts", behind, len(h.waits()))
	})
}

// TestSlotNamesWhomItWaitsFor: the slot's creation says which transaction, also a prepared one, holds it up.
func TestSlotNamesWhomItWaitsFor(t *testing.T) {
	for name, c := range map[string]struct{ script, want, end string }{
		"process":  {`begin; select pg_current_xact_id()`, "process %d of postgres in database postgres", `commit`},
		"prepared": {`begin; select pg_current_xact_id(); prepare transaction 'two phases'`, "prepared transaction 'two phases' of postgres in database postgres", `commit prepared 'two phases'`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, 15, nil)
			h.warehouse(`create table local (id int primary key)`)
			other := h.connect("postgres")
			_, err := other.Exec(h.ctx, c.script)
			must(t, err)
			done := make(chan error, 1)
			var outcomes []*attach.Outcome
			go func() {
				var err error
				outcomes, err = attach.ApplyAttach(h.ctx, h.config(), h.tell)
				done <- err
			}()
			want := strings.ReplaceAll(c.want, "%d", fmt.Sprint(other.PgConn().PID()))
			await(t, func() (string, bool) {
				waits := strings.Join(h.waits(), "; ")
				return want + " in " + waits, strings.Contains(waits, want)
			})
			// A second attach meanwhile makes no second slot.
			again, err := attach.ApplyAttach(h.ctx, h.config(), func(attach.Progress) {})
			must(t, err)
			if undone := again[0].Undone(); len(undone) != 1 || !strings.Contains(undone[0].Text, "is being made by process") {
				t.Errorf("a second attach says %v, %v", undone, again[0].Err)
			}
			_, err = other.Exec(h.ctx, c.end)
			must(t, err)
			must(t, <-done)
			h.whole(outcomes)
			if n := h.value("postgres", `select count(*)::text from pg_replication_slots`); n != "1" {
				t.Errorf("%s slots", n)
			}
		})
	}
}

// TestGivesUp: a step that is broken off leaves what was done and says what wasn't; nothing is half done, and the next attach
// does the rest.
func TestGivesUp(t *testing.T) {
	h := shop(t, 15)
	reader := h.connect("profiles")
	_, err := reader.Exec(h.ctx, `begin; select * from users`)
	must(t, err)
	ctx, cancel := context.WithCancelCause(h.ctx)
	enough := errors.New("enough")
	outcomes, err := attach.ApplyAttach(ctx, h.config(), func(p attach.Progress) {
		h.tell(p)
		if p.Attempt == 2 {
			cancel(enough)
		}
	})
	if !errors.Is(err, enough) {
		t.Fatalf("got %v", err)
	}
	o := outcomes[len(outcomes)-1]
	if o.Name != "profiles" || !strings.Contains(o.Failed, "public.users") || !errors.Is(o.Err, enough) || len(o.Done) < 4 || len(o.Left) < 3 {
		t.Errorf("%s: failed %q with %v, done %q, left %q", o.Name, o.Failed, o.Err, o.Done, o.Left)
	}
	_, err = reader.Exec(h.ctx, `commit`)
	must(t, err)
	h.attach()
}

// TestMappingWithoutRights: a source whose role may not do it says what to try, a server that can't be reached is said, and
// the others go on.
func TestMappingWithoutRights(t *testing.T) {
	h := shop(t, 15)
	h.exec("orders", `create role reader login password 'reader'; grant select on all tables in schema public to reader`)
	h.exec("warehouse", `alter user mapping for current_user server orders options (set user 'reader', set password 'reader');
		create server distant foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1'); create user mapping for current_user server distant options (user 'x', password 'of-distant');
		create schema distant; create foreign table distant.t (id int) server distant`)
	outcomes, err := attach.ApplyAttach(h.ctx, h.config(), h.tell)
	must(t, err)
	got := map[string]string{}
	for _, o := range outcomes {
		got[o.Name] = fmt.Sprint(o.OK(), " ", o.Failed, " ", relay.Remedy(o.Err))
	}
	for name, want := range map[string]string{"orders": "credentials (SERVER=USER:PASSWORD) or the DSN, here it is reader", "distant": "map it in pgrelay.yaml", "profiles": "true", "local": "true"} {
		if !strings.Contains(got[name], want) {
			t.Errorf("%s: got %q, want %q in it", name, got[name], want)
		}
	}
	if n := h.value("orders", `select count(*)::text from pg_publication`); n != "0" {
		t.Error("orders has a publication")
	}
	// With a role that may.
	with := func(c *attach.Config) {
		c.Warehouse.Credentials = map[string]warehouse.Credential{"orders": {User: h.server.Superuser(), Password: h.server.Password()}}
	}
	outcomes, err = attach.ApplyAttach(h.ctx, h.config(with), h.tell)
	must(t, err)
	for _, o := range outcomes {
		if o.OK() == (o.Name == "distant") {
			t.Errorf("%s: %s %v %v", o.Name, o.Failed, o.Err, o.Undone())
		}
	}
}

// TestOwnerAttaches: the owner of a database's tables attaches it without being a superuser, once there is a role.
func TestOwnerAttaches(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		h := newHouse(t, version, nil)
		h.exec("postgres", `create role owner login replication password 'owner'; create role pgrelay login replication password `+literal(rolePassword))
		h.warehouse(`grant create on database warehouse to owner; set session authorization owner; create schema shop;
			create table shop.a (id int primary key, owner text); create table shop.b (id int primary key, tenant int not null, unique (id, tenant))`)
		h.exec("warehouse", `alter schema web_socket_event_system_events owner to owner; alter table web_socket_event_system_events.rules owner to owner`)
		h.rule("a", "shop.a", "owner = 'x'")
		h.rule("b", "shop.b", "tenant = 1")
		before := h.dump("warehouse")
		owner := func(c *attach.Config) {
			c.Warehouse.DSN = strings.Replace(strings.Replace(h.server.DSN("warehouse"), "//postgres:", "//owner:", 1), h.server.Password(), "owner", 1)
		}
		h.attach(owner)
		h.leastPrivilegedIn("warehouse")
		h.detach(owner)
		same(t, "warehouse", h.dump("warehouse"), before)
	})
}
