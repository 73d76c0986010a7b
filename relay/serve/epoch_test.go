package serve_test

import (
	"fmt"
	"strings"
	"testing"

	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// dropSlots drops the relay's slots in the transaction that does what the statements say: a slot that is made meanwhile
// begins behind its commit.
const dropSlots = `do $$
declare one text; names text[];
begin
	%s
	select array_agg(slot_name) into names from pg_replication_slots where database = current_database();
	foreach one in array names loop
		loop
			begin
				perform pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = one and active;
				perform pg_drop_replication_slot(one);
				exit;
			exception
				when undefined_object then exit;
				when object_in_use then perform pg_sleep(0.001);
			end;
		end loop;
	end loop;
end $$`

// TestSlotsDropped: slots that somebody drops under a running relay take the continuity along: the epoch rises, every
// mirror starts over, and nothing that was written meanwhile is lacking, time after time.
func TestSlotsDropped(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		t.Parallel()
		d := newDatabase(t, sharedServer(t, version), items, "public.items", "public.heap")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		keyed, bag := m.subscribe("public.items"), m.subscribe("public.heap")
		m.live(keyed, bag)
		for round := 1; round <= 2; round++ {
			d.exec(fmt.Sprintf(dropSlots, fmt.Sprintf(`update items set n = %d where id <= 10; insert into heap values (%[1]d, 'unseen');`, round)))
			m.has(d, keyed, "items")
			m.has(d, bag, "heap")
			if s := m.Stats(); s.Reasons[wire.ReasonJournalGap] != 2*round || s.Resyncs != 2*round {
				t.Errorf("want both shapes resynced by a gap in round %d: %+v", round, s)
			}
			d.exec(`update items set n = n + 1 where id <= 20; delete from heap where n = 3`)
			m.has(d, keyed, "items")
			m.has(d, bag, "heap")
			r.ready(t)
			want := fmt.Sprintf("_%d_live", 1+round)
			if got := d.value(`select string_agg(slot_name, ' ') from pg_replication_slots where database = current_database() and slot_name like '%live'`); !strings.HasSuffix(got, want) || strings.Contains(got, " ") {
				t.Errorf("got the live slots %s, want one that ends in %s", got, want)
			}
		}
	})
}

// TestInsertPublicationDropped: the publication for tables without a key comes back by itself, also where a server
// can't read on over the time without it.
func TestInsertPublicationDropped(t *testing.T) {
	versions(t, func(t *testing.T, version int) {
		t.Parallel()
		d := newDatabase(t, sharedServer(t, version), items, "public.items")
		r := d.start()
		m := newMirror(t, r.url, client.Options{})
		id := m.subscribe("public.items")
		m.live(id)
		r.ready(t)
		d.exec(`drop publication pgrelay_insert; update items set n = 1 where id = 1`)
		d.exec(`update items set n = 2 where id = 2`)
		d.counted(`select count(*)::text from pg_publication where pubname = 'pgrelay_insert'`, 1)
		d.exec(`update items set n = 3 where id = 3`)
		m.has(d, id, "items")
		r.ready(t)
		d.exec(`update items set n = 4 where id = 4`)
		m.has(d, id, "items")
	})
}
