package outbox

import (
	"fmt"
	"strconv"
	"strings"

	"pgrelay/relay"
)

// A position holds a delivery's number and a transaction's place in it.
const (
	placeBits = 24
	lastPlace = 1<<placeBits - 1
)

// Delivery is how far apart the ends of two deliveries are that follow each other.
const Delivery relay.LSN = 1 << placeBits

func position(n int64, place int) relay.LSN { return relay.LSN(n)<<placeBits | relay.LSN(place) }

// wholly is the position at the end of a delivery.
func wholly(n int64) relay.LSN { return position(n, lastPlace) }

func split(p relay.LSN) (n int64, place int) { return int64(p >> placeBits), int(p & lastPlace) }

// border is a snapshot that delimits deliveries.
type border struct {
	text string
	// xmax and running are what is looked for after it: transactions from xmax on, and those that ran.
	xmax    string
	running string // an array literal
}

// parseBorder reads pg_snapshot's text, xmin:xmax:xip,…
func parseBorder(text string) (border, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return border{}, fmt.Errorf("read the snapshot %q: not three parts", text)
	}
	if _, err := strconv.ParseUint(parts[1], 10, 64); err != nil {
		return border{}, fmt.Errorf("read the snapshot %q: %w", text, err)
	}
	return border{text: text, xmax: parts[1], running: "{" + parts[2] + "}"}, nil
}
