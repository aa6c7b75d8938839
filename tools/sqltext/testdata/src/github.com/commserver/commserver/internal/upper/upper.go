// Package upper runs SQL through package lower.
package upper

import (
	"context"
	"net/http"
	"os"
	"strings"

	"github.com/commserver/commserver/internal/lower"
)

func good(ctx context.Context, q lower.Querier) {
	lower.Run(ctx, q, lower.Built()+lower.Column("name"))
	_ = lower.Column(os.Args[0]) // not run as SQL
	_ = lower.Dialect{Now: `now()`, Text: func(column string) string { return `text(` + column + `)` }}
}

func bad(ctx context.Context, q lower.Querier, d *lower.Dialect, s *lower.Store) {
	lower.Run(ctx, q, os.Getenv("SQL"))                              // want `what Getenv answers is not known`
	q.ExecContext(ctx, lower.Column(os.Getenv("SQL")))               // want `what Getenv answers is not known`
	q.ExecContext(ctx, lower.Name(s, os.Args))                       // want `Args belongs to another package`
	q.ExecContext(ctx, lower.Kept(s))                                // want `what Kept answers is not known`
	q.ExecContext(ctx, d.Text(os.Getenv("SQL")))                     // want `what Getenv answers is not known`
	_ = lower.Dialect{Now: os.Getenv("NOW")}                         // want `what Getenv answers is not known`
	d.Now = strings.ToLower(os.Getenv("NOW"))                        // want `what Getenv answers is not known`
	d.Text = func(column string) string { return os.Getenv(column) } // want `what Getenv answers is not known`
	d.Text = os.Getenv                                               // want `what Getenv answers is not seen`
}

// Find takes data from anybody and puts it into SQL: whoever calls it has to prove it, and so does who calls that.
func Find(ctx context.Context, q lower.Querier, sort string) {
	lower.Run(ctx, q, `SELECT 1 ORDER BY `+sort)
}

// Handler is what data comes in by.
type Handler struct{ q lower.Querier }

func (h *Handler) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	Find(r.Context(), h.q, r.FormValue("sort")) // want `what FormValue answers is not known`
	Find(r.Context(), h.q, r.URL.RawQuery)      // want `RawQuery belongs to another package`
}
