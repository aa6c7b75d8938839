package lower

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

type filter struct {
	sort  string
	plain string
	words []string
}

func direct(ctx context.Context, s *Store, f filter, r map[string]string) {
	s.q.ExecContext(ctx, `SELECT 1 ORDER BY `+r["sort"])
	s.q.ExecContext(ctx, os.Getenv("SQL")) // want `what Getenv answers is not known`
	var text string
	json.Unmarshal([]byte(f.plain), &text) // want `the address of text is taken`
	s.q.ExecContext(ctx, text)
	s.q.ExecContext(ctx, fmt.Sprintf(`SELECT '%s'`, f.sort))
	s.q.ExecContext(ctx, fmt.Sprint(`SELECT `, 1, ctx))       // want `how ctx is printed is not followed`
	s.q.ExecContext(ctx, fmt.Sprintf(`SELECT %v`, ctx))       // want `%v of ctx is not followed`
	s.q.ExecContext(ctx, fmt.Sprintf(`SELECT %c`, 39+len(r))) // want `%c of 39 \+ len\(r\) is not followed`
	s.q.ExecContext(ctx, string(rune(len(r))))                // want `a character is made of a number`
}

// Handler is what data comes in by.
type Handler struct{ s *Store }

func (h *Handler) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)               // want `what ReadAll answers is not known`
	callsDirect(h.s, body, r.FormValue("sort")) // want `what FormValue answers is not known`
}

func callsDirect(s *Store, body []byte, name string) {
	var f filter
	f.sort = string(body)
	direct(context.Background(), s, f, map[string]string{"sort": name})
}

func branches(ctx context.Context, s *Store, names []string) {
	text := `SELECT 1`
	if len(names) > 1 {
		text = text + <-make(chan string) // want `<-make\(chan string\) is not followed`
	}
	s.q.ExecContext(ctx, text)
}

func closures(ctx context.Context, s *Store, v any) {
	where := ``
	add := func(column string) { where += column }
	add(v.(string)) // want `what is in v is not followed`
	s.q.ExecContext(ctx, where)
	switch x := v.(type) { // want `what is in v is not followed`
	case string:
		s.q.ExecContext(ctx, x)
	}
}

func builders(ctx context.Context, s *Store, names chan string, c byte) {
	var b strings.Builder
	b.WriteString(<-names) // want `<-names is not followed`
	b.WriteByte(c)         // want `a character is made of a number`
	escape(&b)
	fmt.Fprintf(&b, `%s`, os.Args[0]) // want `Args belongs to another package`
	s.q.ExecContext(ctx, b.String())
	bytes := []byte(`SELECT 1`)
	bytes[0] = c // want `a character is made of a number`
	s.q.ExecContext(ctx, string(bytes))
}

func escape(b *strings.Builder) { b.WriteString(os.ExpandEnv("$SQL")) } // want `what ExpandEnv answers is not known`

func lists(ctx context.Context, s *Store, names chan string) {
	parts := []string{`SELECT 1`}
	other := parts
	other[0] = <-names // want `<-names is not followed`
	s.q.ExecContext(ctx, parts[0])
	more := []string{`a`}
	fill(more)
	s.q.ExecContext(ctx, strings.Join(more, ``))
	returned := ranges()
	returned[0] = <-names // want `<-names is not followed`
	keys := map[string]bool{}
	keys[<-names] = true // want `<-names is not followed`
	for k := range keys {
		s.q.ExecContext(ctx, k)
	}
	s.q.ExecContext(ctx, strings.Map(func(r rune) rune { return r + 1 }, `SELECT`)) // want `what Map answers is not known`
}

func fill(to []string) { to[0] = os.Getenv("SQL") } // want `what Getenv answers is not known`

func ranges() []string { return kept }

var kept = []string{`SELECT 1`}

func useKept(ctx context.Context, s *Store) { s.q.ExecContext(ctx, ranges()[0]) }

type text string

func (t *text) set() { *t = text(os.Getenv("SQL")) }

func methods(ctx context.Context, s *Store) {
	var t text
	t.set() // want `the address of t is taken`
	s.q.ExecContext(ctx, string(t))
}

func values(ctx context.Context, s *Store) {
	run := affected // want `affected runs what it is given, and who calls it as a value is not seen`
	_ = run
	func(sql string) { s.q.ExecContext(ctx, sql) }(os.Getenv("SQL")) // want `what Getenv answers is not known`
	keep(func(sql string) { s.q.ExecContext(ctx, sql) })
	list := []func(string){func(sql string) { s.q.ExecContext(ctx, sql) }} // want `who calls this function is not seen`
	_ = list
}

func keep(fn func(string)) { fn(os.Getenv("SQL")) } // want `what Getenv answers is not known`

type runner interface{ raw(sql string) }

func (s *Store) raw(sql string) { s.q.ExecContext(context.Background(), sql) }

func behind(r runner) { r.raw(os.Getenv("SQL")) } // want `what Getenv answers is not known`

func (s *Store) Raw(sql string) { s.q.ExecContext(context.Background(), sql) } // want `Raw is a method that others may call through an interface`
