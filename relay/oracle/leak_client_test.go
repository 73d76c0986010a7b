package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"pgrelay/relay/auth"
	"pgrelay/relay/client"
	"pgrelay/relay/wire"
)

// leakSecret is the key of the clients' tokens.
var leakSecret = []byte("0123456789abcdef0123456789abcdef")

// leakAsk is what a subscription of the leak test may ask for; reads are where's columns.
type leakAsk struct {
	client.Subscription
	reads []string
}

func params(values ...string) (all []json.RawMessage) {
	for _, v := range values {
		all = append(all, json.RawMessage(v))
	}
	return all
}

var leakAsks = []leakAsk{
	{Subscription: client.Subscription{Table: "leak.notes"}},
	{Subscription: client.Subscription{Table: "leak.notes", Columns: []string{"body"}}},
	{Subscription: client.Subscription{Table: "leak.notes", Columns: []string{"owner", "amount"}}},
	{Subscription: client.Subscription{Table: "leak.notes", Where: `amount > $1`, Params: params(`"30.5"`)}, reads: []string{"amount"}},
	{Subscription: client.Subscription{Table: "leak.notes", Columns: []string{"body"}, Where: `100 / team > 40 or owner = claims ->> 'sub'`}, reads: []string{"team", "owner"}},
	{Subscription: client.Subscription{Table: "leak.notes", Columns: []string{"owner"}, Where: `state = any ($1) and id < $2`, Params: params(`["open","done"]`, `50`)}, reads: []string{"state"}},
	{Subscription: client.Subscription{Table: "leak.notes", Columns: []string{"body", "owner"}, Where: `$1::text is null or owner = $1`, Params: params(`null`)}, reads: []string{"owner"}},
	{Subscription: client.Subscription{Table: "leak.notes", Columns: []string{"body", "owner"}}},
	{Subscription: client.Subscription{Table: "leak.notes", ChangesOnly: true}},
	{Subscription: client.Subscription{Table: "leak.notes", ChangesOnly: true, Where: `owner = $1`, Params: params(`"u1"`)}, reads: []string{"owner"}},
	{Subscription: client.Subscription{Table: "leak.keyed"}},
	{Subscription: client.Subscription{Table: "leak.keyed", Columns: []string{"body"}}},
	{Subscription: client.Subscription{Table: "leak.keyed", Where: `tenant = 1 or id = 7`}},
	{Subscription: client.Subscription{Table: "leak.bag"}},
	{Subscription: client.Subscription{Table: "leak.bag", Columns: []string{"n", "body"}}},
	{Subscription: client.Subscription{Table: "leak.bag", Where: `1 / n < 2`}, reads: []string{"n"}},
	{Subscription: client.Subscription{Table: "leak.parts"}},
	{Subscription: client.Subscription{Table: "leak.parts", Columns: []string{"owner"}, Where: `n % 2 = 1`}, reads: []string{"n"}},
}

// leakPerson is who a client is: its claims, as the token has them.
type leakPerson struct {
	claims map[string]any // nil: anon
	role   string
	text   string // the claims as JSON
}

func newLeakPerson(claims map[string]any) *leakPerson {
	p := &leakPerson{claims: claims, role: "anon", text: "{}"}
	if claims == nil {
		return p
	}
	p.role = "authenticated"
	if role, ok := claims["role"].(string); ok {
		p.role = role
	}
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	p.text = string(text)
	return p
}

func (p *leakPerson) token() string {
	if p.claims == nil {
		return ""
	}
	token, err := auth.Mint(leakSecret, p.claims, time.Hour)
	if err != nil {
		panic(err)
	}
	return token
}

// leakFrame is one message as it came.
type leakFrame struct {
	*wire.ServerMessage
	raw        []byte
	when       time.Time
	connection int
	who        *leakPerson
	// The rules under which it was made are those of a version from least to most.
	least, most int
}

// leakClient is one connection after the other of one person, whose claims may change, and all that came.
type leakClient struct {
	number int
	rnd    *rand.Rand
	url    string
	rules  *leakRules
	mirror *client.Mirror

	mu         sync.Mutex
	who        *leakPerson
	renewing   []*leakPerson // tokens that are sent and not answered
	connection int
	least      int
	frames     []leakFrame
	asks       map[uint64]leakAsk
	renewals   int
}

func newLeakClient(number int, seed uint64, url string, rules *leakRules) *leakClient {
	c := &leakClient{number: number, rnd: rand.New(rand.NewPCG(seed, uint64(number))), url: url, rules: rules, asks: map[uint64]leakAsk{}}
	c.who = newLeakPerson(c.claims())
	c.mirror = client.NewMirror(client.Hooks{Message: c.message})
	return c
}

// claims are a person's; each client has a subject of its own among nine, and one in ten is anon.
func (c *leakClient) claims() map[string]any {
	if c.number%10 == 9 {
		return nil
	}
	team := c.rnd.IntN(4)
	claims := map[string]any{"sub": fmt.Sprintf("u%d", c.number%9), "team": team, "teams": []int{team, (team + 1) % 4}}
	switch c.number % 5 {
	case 3:
		claims["role"] = "staff"
	case 4:
		claims["role"] = "auditor"
	}
	if c.rnd.IntN(5) == 0 {
		delete(claims, "team")
	}
	return claims
}

// message notes what came, and by which claims and rules it may have been made. A pong tells that the edits before its
// ping hold on this connection.
func (c *leakClient) message(raw []byte, m *wire.ServerMessage) {
	_, started := c.rules.bounds()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Type {
	case wire.TypePong:
		var n int
		if json.Unmarshal(m.N, &n) == nil {
			c.least = max(c.least, n)
		}
		return
	case wire.TypeWelcome:
		c.who, c.renewing = c.renewing[0], c.renewing[1:]
	}
	c.frames = append(c.frames, leakFrame{m, raw, time.Now(), c.connection, c.who, c.least, started})
}

// ping asks for a pong that tells of a version.
func (c *leakClient) ping(version int) {
	if conn := c.mirror.Conn(); conn != nil {
		_ = conn.Send(wire.ClientMessage{Type: wire.TypePing, N: fmt.Append(nil, version)}) // a lost connection is connected anew
	}
}

func (c *leakClient) connect(ctx context.Context) error {
	inForce, _ := c.rules.bounds()
	c.mu.Lock()
	if n := len(c.renewing); n > 0 && c.rnd.IntN(2) == 0 {
		c.who = c.renewing[n-1]
	}
	c.connection++
	c.least, c.renewing = inForce, nil
	token := c.who.token()
	c.mu.Unlock()
	return c.mirror.Connect(ctx, c.url, client.Options{Token: token, Strict: true})
}

// visit acts at random until stop is closed.
func (c *leakClient) visit(ctx context.Context, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Duration(20+c.rnd.IntN(400)) * time.Millisecond):
		}
		if err := c.act(ctx); err != nil {
			return fmt.Errorf("client %d: %w", c.number, err)
		}
	}
}

func (c *leakClient) act(ctx context.Context) error {
	if err := c.mirror.Err(); err != nil {
		return err
	}
	if !c.mirror.Connected() {
		return c.connect(ctx)
	}
	open := c.open()
	switch n := c.rnd.IntN(20); {
	case n < 8 && len(open) < 4, len(open) == 0:
		return c.subscribe()
	case n < 10:
		return c.mirrored(c.mirror.Unsubscribe(open[c.rnd.IntN(len(open))]))
	case n < 12:
		c.mirror.Drop()
		return c.connect(ctx)
	case n < 14:
		return c.renew()
	case n == 14:
		// It doesn't read for a while.
		if conn := c.mirror.Conn(); conn != nil {
			conn.Stall()
			time.AfterFunc(time.Duration(c.rnd.IntN(800))*time.Millisecond, conn.Unstall)
		}
	}
	return nil
}

// open are the subscriptions that have not ended.
func (c *leakClient) open() (ids []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.asks {
		if p := c.mirror.Status(id).Phase; p != client.Closed && p != client.Failed {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c *leakClient) subscribe() error {
	ask := leakAsks[c.rnd.IntN(len(leakAsks))]
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := c.mirror.Subscribe(ask.Subscription)
	if id != 0 {
		c.asks[id] = ask
	}
	return c.mirrored(err)
}

// mirrored lets pass what a connection that has just ended causes.
func (c *leakClient) mirrored(err error) error {
	if err == nil || c.mirror.Err() != nil {
		return c.mirror.Err()
	}
	return nil
}

// renew sends a token of the same person with other claims.
func (c *leakClient) renew() error {
	conn := c.mirror.Conn()
	if conn == nil || c.who.claims == nil {
		return nil
	}
	who := newLeakPerson(c.claims())
	if c.rnd.IntN(3) == 0 {
		who = c.who
	}
	c.mu.Lock()
	c.renewing = append(c.renewing, who)
	c.renewals++
	c.mu.Unlock()
	return c.mirrored(conn.Send(wire.ClientMessage{Type: wire.TypeToken, Token: who.token()}))
}
