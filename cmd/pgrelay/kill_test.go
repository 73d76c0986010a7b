package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgrelay/relay/client"
)

// TestKilledWithinTransaction: a relay that is killed while a client has half of a large transaction, and Postgres with
// it, goes on with the whole of it.
func TestKilledWithinTransaction(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	server, dsn := attached(ctx, t, `create table big (id int primary key, n int, note text);
		insert into big select i, 0, 'row' from generate_series(1, 1000) i;
		insert into web_socket_event_system_events.rules (name, relation, roles) values ('big', 'public.big', '{anon}')`)
	path := binary(t)
	relay := startServe(t, path, dsn, "127.0.0.1:0")
	listen := strings.TrimSuffix(strings.TrimPrefix(relay.url, "ws://"), "/v1/ws")
	mirror := client.NewMirror(client.Hooks{})
	id, err := mirror.Subscribe(client.Subscription{Table: "public.big"})
	if err != nil {
		t.Fatal(err)
	}
	running := make(chan error, 1)
	go func() { running <- mirror.Run(ctx, relay.url, client.Options{Strict: true}, nil) }()
	await := func(what string, condition func(*client.Mirror) bool) {
		t.Helper()
		if err := mirror.Await(ctx, condition); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	await("live", func(m *client.Mirror) bool { return m.Live(id) })
	for round := range 3 {
		written := make(chan error, 1)
		go func() {
			written <- server.Exec(ctx, "bench", fmt.Sprintf(`update big set n = n + 1 where id <= 1000; insert into big
				select i, %[1]d, repeat('y', 100) from generate_series(%[1]d * 100000 + 1001, %[1]d * 100000 + 50000) i`, round))
		}()
		await("some parts", func(m *client.Mirror) bool { return m.Status(id).Parts > 2 })
		relay.crash()
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		if round > 0 { // Postgres too, before the relay comes again or after it
			server.Crash()
		}
		if round == 2 {
			relay = startServe(t, path, dsn, listen)
		}
		if round > 0 {
			if err := server.Start(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if round < 2 {
			relay = startServe(t, path, dsn, listen)
		}
		want := tableRows(ctx, t, dsn, "big")
		await("equality", func(m *client.Mirror) bool { return m.Live(id) && m.Status(id).Rows == len(want) })
		if got := mirrorRows(mirror.Rows(id)); !maps.Equal(got, want) {
			t.Fatalf("the mirror differs:\n%s", difference(got, want))
		}
	}
	stats := mirror.Stats()
	t.Logf("%+v", stats)
	if stats.Snapshots != 1 || stats.Resumed != 3 || stats.Abandoned < 3 {
		t.Errorf("want one snapshot, three resumes, and the half transactions thrown away: %+v", stats)
	}
	cancel()
	<-running
}
