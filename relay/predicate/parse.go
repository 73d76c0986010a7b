package predicate

import (
	"errors"

	"github.com/pganalyze/pg_query_go/v6/parser"
)

// cursor is where the parser stopped, in characters counted from 1.
func cursor(err error) (int, bool) {
	var e *parser.Error
	if errors.As(err, &e) && e.Cursorpos > 0 {
		return e.Cursorpos, true
	}
	return 0, false
}
