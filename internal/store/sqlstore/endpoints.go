package sqlstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const endpointColumns = `app_id, id, name, url, secret, previous, previous_until, earlier, earlier_until, events, channels, tags, active, disabled, disabled_at, version,
	created_at, updated_at`

// EndpointsSQL is the statement of Endpoints.
const EndpointsSQL = `SELECT ` + endpointColumns + ` FROM endpoints WHERE app_id = $1 AND url <> '' ORDER BY name`

// Endpoints implements store.Endpoints.
func (c *Cold) Endpoints(ctx context.Context, app comm.ID) ([]comm.Endpoint, error) {
	return list(ctx, c.db, "list webhook endpoints", scanEndpoint, EndpointsSQL, c.d.ID(app))
}

// EndpointsOfSQL is the statement of EndpointsOf.
func EndpointsOfSQL(d Dialect) string {
	return `SELECT ` + endpointColumns + ` FROM endpoints e WHERE app_id ` + d.Among + ` AND url <> ''
		AND EXISTS (SELECT 1 FROM apps a WHERE a.id = e.app_id AND a.deleted_at = 0) ORDER BY app_id, name`
}

// EndpointsOf implements store.Endpoints.
func (c *Cold) EndpointsOf(ctx context.Context, apps []comm.ID) ([]comm.Endpoint, error) {
	return list(ctx, c.db, "list webhook endpoints", scanEndpoint, EndpointsOfSQL(c.d), c.d.IDs(apps))
}

// Endpoint implements store.Endpoints.
func (c *Cold) Endpoint(ctx context.Context, app, id comm.ID) (*comm.Endpoint, error) {
	e := new(comm.Endpoint)
	err := c.db.Read(ctx, func(q Querier) error { return c.endpointOf(ctx, q, app, id, e) })
	return found(e, err, "read webhook endpoint")
}

func (c *Cold) endpointOf(ctx context.Context, q Querier, app, id comm.ID, e *comm.Endpoint) error {
	return scanEndpoint(q.QueryRowContext(ctx, `SELECT `+endpointColumns+` FROM endpoints WHERE app_id = $1 AND id = $2 AND url <> ''`, c.d.ID(app), c.d.ID(id)), e)
}

var errEndpointID = errors.New("the endpoint named default has its app's id, and no other has")

// CreateEndpoint implements store.Endpoints.
func (c *Cold) CreateEndpoint(ctx context.Context, e *comm.Endpoint) error {
	lists, err := endpointLists(e)
	if err == nil && e.Default() != (e.Name == comm.DefaultEndpoint) {
		err = errEndpointID
	}
	if err != nil {
		return fmt.Errorf("create webhook endpoint: %w", err)
	}
	version, old := 0, &lists.replaced
	err = c.db.Write(ctx, func(q Querier) error {
		if err := c.holdApp(ctx, q, e.App); err != nil { // others who create wait here, and see what this one did
			return err
		}
		if err := c.roomFor(ctx, q, e); err != nil {
			return err
		}
		// What is in the way without an address is a secret that was remembered.
		rows, err := collect(ctx, q, func(r Row, v *int) error { return r.Scan(v) }, `INSERT INTO endpoints (`+endpointColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, $16, $17) ON CONFLICT (app_id, name) DO UPDATE SET url = excluded.url,
			secret = excluded.secret, previous = excluded.previous, previous_until = excluded.previous_until, earlier = excluded.earlier,
			earlier_until = excluded.earlier_until, events = excluded.events, channels = excluded.channels, tags = excluded.tags, active = excluded.active,
			disabled = excluded.disabled, disabled_at = excluded.disabled_at, version = endpoints.version + 1, created_at = excluded.created_at,
			updated_at = excluded.updated_at WHERE endpoints.url = '' RETURNING version`,
			c.d.ID(e.App), c.d.ID(e.ID), e.Name, e.URL, e.Secret, old[0].Secret, int64(old[0].Until), old[1].Secret, int64(old[1].Until), lists.events, lists.channels, lists.tags,
			flag(e.Active), e.Disabled, int64(e.DisabledAt), int64(e.CreatedAt), int64(e.UpdatedAt))
		if err == nil && len(rows) == 0 {
			return nameTaken()
		}
		if err != nil {
			return err
		}
		version = rows[0]
		return c.endpointChanged(ctx, q, e, did{e.App, comm.AuditEndpointCreated, e.ID.String(), differ(nil, endpointFacts(e))})
	})
	if err != nil {
		return wrap(err, "create webhook endpoint")
	}
	e.Version = version
	return nil
}

// roomFor says whether the app, which is held, may have one more.
func (c *Cold) roomFor(ctx context.Context, q Querier, e *comm.Endpoint) error {
	if e.Default() {
		return nil
	}
	var have int
	if err := q.QueryRowContext(ctx, `SELECT count(*) FROM endpoints WHERE app_id = $1 AND id <> app_id`, c.d.ID(e.App)).Scan(&have); err != nil {
		return err
	}
	if have >= store.MaxEndpoints-1 {
		return comm.E("too_many_endpoints", "An app has at most %d webhook endpoints, the one named default among them; delete one first.", store.MaxEndpoints)
	}
	return nil
}

func nameTaken() error {
	return comm.E("already_exists", "The app has a webhook endpoint with this name; choose another one.").Field("name", "is taken")
}

// endpointChanged ends a transaction that stored e.
func (c *Cold) endpointChanged(ctx context.Context, q Querier, e *comm.Endpoint, what did) error {
	too, err := c.keepCanaryOf(ctx, q, e.Secret)
	if err != nil {
		return err
	}
	for _, r := range e.Replaced {
		more, err := c.keepCanaryOf(ctx, q, r.Secret)
		if err != nil {
			return err
		}
		too = append(too, more...)
	}
	return c.changed(ctx, q, what, too...)
}

// UpdateEndpoint implements store.Endpoints.
func (c *Cold) UpdateEndpoint(ctx context.Context, e *comm.Endpoint) error {
	lists, err := endpointLists(e)
	if err == nil && e.Default() != (e.Name == comm.DefaultEndpoint) {
		err = errEndpointID
	}
	if err != nil {
		return fmt.Errorf("update webhook endpoint: %w", err)
	}
	old := &lists.replaced
	err = c.db.Write(ctx, func(q Querier) error {
		if err := c.holdApp(ctx, q, e.App); err != nil { // two that take one name
			return err
		}
		var was comm.Endpoint
		if _, err := found(&was, c.endpointOf(ctx, q, e.App, e.ID, &was), "read webhook endpoint"); err != nil {
			return err
		}
		if was.Name != e.Name {
			var taken int
			if err := q.QueryRowContext(ctx, `SELECT count(*) FROM endpoints WHERE app_id = $1 AND name = $2`, c.d.ID(e.App), e.Name).Scan(&taken); err != nil {
				return err
			}
			if taken > 0 {
				return nameTaken()
			}
		}
		n, err := affected(ctx, q, `UPDATE endpoints SET name = $3, url = $4, secret = $5, previous = $6, previous_until = $7, earlier = $8, earlier_until = $9,
			events = $10, channels = $11, tags = $12, active = $13, disabled = $14, disabled_at = $15, updated_at = $16, version = version + 1
			WHERE app_id = $1 AND id = $2 AND version = $17`,
			c.d.ID(e.App), c.d.ID(e.ID), e.Name, e.URL, e.Secret, old[0].Secret, int64(old[0].Until), old[1].Secret, int64(old[1].Until), lists.events, lists.channels, lists.tags,
			flag(e.Active), e.Disabled, int64(e.DisabledAt), int64(e.UpdatedAt), int64(e.Version))
		if err != nil {
			return err
		}
		if n == 0 {
			return whyNotUpdated(ctx, q, "webhook endpoint", `endpoints WHERE app_id = $1 AND id = $2 AND url <> ''`, c.d.ID(e.App), c.d.ID(e.ID))
		}
		if err := c.forgetTrouble(ctx, q, e.App, e.ID); err != nil {
			return err
		}
		return c.endpointChanged(ctx, q, e, did{e.App, comm.AuditEndpointUpdated, e.ID.String(), differ(endpointFacts(&was), endpointFacts(e))})
	})
	if err != nil {
		return wrap(err, "update webhook endpoint")
	}
	e.Version++
	return nil
}

// SwitchOff implements store.Endpoints.
func (c *Cold) SwitchOff(ctx context.Context, e *comm.Endpoint, why string) (done bool, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `UPDATE endpoints SET active = 0, disabled = $3, disabled_at = `+c.d.Now+`, updated_at = `+c.d.Now+`, version = version + 1
			WHERE app_id = $1 AND id = $2 AND version = $4 AND active = 1`, c.d.ID(e.App), c.d.ID(e.ID), why, int64(e.Version))
		if done = n > 0; err != nil || !done {
			return err
		}
		return c.changed(ctx, q, did{e.App, comm.AuditEndpointDisabled, e.ID.String(), detail{}.with("name", e.Name).with("disabled", why)})
	})
	if err != nil {
		return false, wrap(err, "switch a webhook endpoint off")
	}
	return done, nil
}

// DeleteEndpoint implements store.Endpoints.
func (c *Cold) DeleteEndpoint(ctx context.Context, app, id comm.ID) error {
	err := c.db.Write(ctx, func(q Querier) error {
		var was comm.Endpoint
		if _, err := found(&was, c.endpointOf(ctx, q, app, id, &was), "read webhook endpoint"); err != nil {
			return err
		}
		n, err := affected(ctx, q, `DELETE FROM endpoints WHERE app_id = $1 AND id = $2`, c.d.ID(app), c.d.ID(id))
		if err == nil && n == 0 {
			return comm.E("not_found")
		}
		if err == nil {
			err = c.forgetTrouble(ctx, q, app, id)
		}
		if err != nil {
			return err
		}
		return c.changed(ctx, q, did{app, comm.AuditEndpointDeleted, id.String(), differ(endpointFacts(&was), nil)})
	})
	return wrap(err, "delete webhook endpoint")
}

// forgetTrouble gives an endpoint that somebody has changed all the time again that one may fail for.
func (c *Cold) forgetTrouble(ctx context.Context, q Querier, app, id comm.ID) error {
	_, err := q.ExecContext(ctx, `DELETE FROM endpoint_troubles WHERE app_id = $1 AND endpoint_id = $2`, c.d.ID(app), c.d.ID(id))
	return wrap(err, "forget since when an endpoint fails")
}

// anew is that another address is tried, at $3, whatever became of the one before. Who switched the endpoint off keeps it off. Where there was
// no address the endpoint is another one than the one that was there before: what was made for that one is not for this one.
const anew = `active = CASE WHEN disabled <> '' OR url = '' THEN 1 ELSE active END, disabled = '', disabled_at = 0,
			created_at = CASE WHEN url = '' THEN $3 ELSE created_at END`

// alone is that no secret holds beside the current one.
const alone = `previous = NULL, previous_until = 0, earlier = NULL, earlier_until = 0`

// putDefault stores what an app says of its webhook, if that is not what was is; the version is that of the endpoint then.
func (c *Cold) putDefault(ctx context.Context, q Querier, was, a *comm.App, at comm.Micros) (version int, err error) {
	if a.WebhookURL == was.WebhookURL && bytes.Equal(a.WebhookSecret, was.WebhookSecret) {
		return was.WebhookVersion, nil
	}
	var n int64
	switch {
	case was.WebhookVersion == 0:
		n, err = affected(ctx, q, `INSERT INTO endpoints (`+endpointColumns+`) VALUES ($1, $1, $2, $3, $4, NULL, 0, NULL, 0, '[]', '[]', '[]', 1, '', 0, 1, $5, $5)
			ON CONFLICT (app_id, name) DO NOTHING`, c.d.ID(a.ID), comm.DefaultEndpoint, a.WebhookURL, a.WebhookSecret, int64(at))
	case bytes.Equal(a.WebhookSecret, was.WebhookSecret): // another address begins anew
		n, err = affected(ctx, q, `UPDATE endpoints SET url = $2, `+anew+`, version = version + 1, updated_at = $3
			WHERE app_id = $1 AND id = $1 AND version = $4`, c.d.ID(a.ID), a.WebhookURL, int64(at), int64(was.WebhookVersion))
	case a.WebhookURL == was.WebhookURL:
		n, err = affected(ctx, q, `UPDATE endpoints SET secret = $2, `+alone+`, version = version + 1, updated_at = $3
			WHERE app_id = $1 AND id = $1 AND version = $4`, c.d.ID(a.ID), a.WebhookSecret, int64(at), int64(was.WebhookVersion))
	default:
		n, err = affected(ctx, q, `UPDATE endpoints SET url = $2, `+anew+`, secret = $5, `+alone+`,
			version = version + 1, updated_at = $3 WHERE app_id = $1 AND id = $1 AND version = $4`,
			c.d.ID(a.ID), a.WebhookURL, int64(at), int64(was.WebhookVersion), a.WebhookSecret)
	}
	if err != nil {
		return 0, fmt.Errorf("store the app's webhook: %w", err)
	}
	if n == 0 {
		return 0, errWebhookChanged()
	}
	return was.WebhookVersion + 1, c.forgetTrouble(ctx, q, a.ID, a.ID)
}

func errWebhookChanged() error {
	return comm.E("invalid_state", "Somebody changed this app's webhook meanwhile; read it again.")
}

// scanEndpoint reads a row. What it holds that this version does not know makes it unreadable, and is no error: whoever reads many of them
// would be stopped by one.
func scanEndpoint(r Row, e *comm.Endpoint) error {
	var lists endpointText
	var active int64
	old := &lists.replaced
	err := r.Scan((*ID)(&e.App), (*ID)(&e.ID), &e.Name, &e.URL, &e.Secret, &old[0].Secret, &old[0].Until, &old[1].Secret, &old[1].Until, &lists.events, &lists.channels, &lists.tags,
		&active, &e.Disabled, &e.DisabledAt, &e.Version, &e.CreatedAt, &e.UpdatedAt)
	if err != nil {
		return err
	}
	e.Replaced = nil
	for _, r := range old {
		if r.Secret != nil {
			e.Replaced = append(e.Replaced, r)
		}
	}
	if e.Active = active == 1; active != flag(e.Active) {
		e.Unreadable = fmt.Sprintf("active is %d", active)
	}
	e.Events = ofWords(e, "events", lists.events, comm.ParseStatus)
	e.Channels = ofWords(e, "channels", lists.channels, comm.ParseChannel)
	e.Tags = ofWords(e, "tags", lists.tags, func(s string) (string, bool) { return s, true })
	return nil
}

// endpointText are an endpoint's lists as they are kept.
type endpointText struct {
	events, channels, tags string
	replaced               [comm.MaxReplaced]comm.Replaced[[]byte]
}

var errReplaced = errors.New("more replaced secrets than there is room for")

func endpointLists(e *comm.Endpoint) (t endpointText, err error) {
	if copy(t.replaced[:], e.Replaced) < len(e.Replaced) {
		return t, errReplaced
	}
	if t.events, err = wordsOf(e.Events, comm.Status.String); err != nil {
		return t, err
	}
	if t.channels, err = wordsOf(e.Channels, comm.Channel.String); err != nil {
		return t, err
	}
	t.tags, err = wordsOf(e.Tags, func(s string) string { return s })
	return t, err
}

func wordsOf[T any](list []T, word func(T) string) (string, error) {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = word(v)
	}
	text, err := json.Marshal(words)
	return string(text), err
}

// ofWords reads a list of words, or says in e why not.
func ofWords[T any](e *comm.Endpoint, of, text string, parse func(string) (T, bool)) (list []T) {
	var words []string
	if json.Unmarshal([]byte(text), &words) != nil {
		e.Unreadable = of + " is no list of words"
		return nil
	}
	for _, w := range words {
		v, ok := parse(w)
		if !ok {
			e.Unreadable = fmt.Sprintf("%s holds %.40q, which this version does not know", of, w)
			return nil
		}
		list = append(list, v)
	}
	return list
}
