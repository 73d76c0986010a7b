package predicate

// kind says what a node does.
type kind uint8

const (
	kindConst     kind = iota
	kindColumn         // of the row
	kindClaims         // the claims document
	kindParam          // a client's parameter
	kindCall           // a function or an operator
	kindRelabel        // another name for the same value
	kindViaIO          // from one type's text form to another's
	kindArrayCast      // a cast of each element; sub is the cast
	kindElement        // in a kindArrayCast's sub: the element
	kindAnd            //
	kindOr             //
	kindNot            //
	kindIsNull         // flag: IS NOT NULL
	kindBoolTest       // number: which
	kindDistinct       // flag: IS NOT DISTINCT FROM; call is the type's "="
	kindNullIf         // call is the type's "="
	kindAnyAll         // flag: ANY, else ALL; call compares the left side with an element; number: eachInTurn of a subquery
	kindCase           // args: condition, result, …, default
	kindCoalesce       //
	kindGreatest       // flag: LEAST
	kindArray          // ARRAY[…]
	kindSubscript      // args: array, subscript, …
	kindAlone          // (SELECT value)
	kindElements       // ARRAY(SELECT jsonb_array_elements(…))
)

// The tests of kindBoolTest.
const (
	isTrue = iota
	isNotTrue
	isFalse
	isNotFalse
	isUnknown
	isNotUnknown
)

// node is an expression with its type; the tree is immutable once analysed.
type node struct {
	kind   kind
	flag   bool
	number int
	typ    uint32
	typmod int32
	pos    int
	// value is a constant's. Of an untyped literal (typ oidUnknown) it is its text.
	value datum
	args  []*node
	sub   *node
	call  callee
	coll  collation
	// from is the collation that a call compares or maps under.
	from collation
}

// collation is what Postgres derives for each expression.
// https://www.postgresql.org/docs/current/collation.html#COLLATION-CONCEPTS
type collation struct {
	strength strength
	name     string
}

type strength uint8

const (
	collNone strength = iota
	collImplicit
	collConflict
	collExplicit
)

// bytewise tells that the collation orders by bytes and maps the case of ASCII letters alone.
func (c collation) bytewise() bool {
	return c.strength != collConflict && (c.name == "C" || c.name == "POSIX" || c.name == "ucs_basic")
}

// walk calls f for the node and all below it.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, a := range n.args {
		a.walk(f)
	}
}

// depends tells whether the value depends on the row.
func (n *node) depends() bool {
	if n.kind == kindColumn {
		return true
	}
	for _, a := range n.args {
		if a.depends() {
			return true
		}
	}
	return false
}

func (n *node) constant() bool { return n.kind == kindConst }

func (n *node) null() bool { return n.kind == kindConst && n.value.null }
