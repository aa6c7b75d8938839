package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/strictjson"
)

// Limits of the control interface.
const (
	maxOrder    = 1 << 20
	maxListed   = 1000
	usualListed = 100
)

// routes are everything on the HTTP listener.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for kind, t := range tongues() {
		mux.Handle("/"+strings.ToLower(kind)+"/", s.provider(kind, t))
	}
	mux.HandleFunc("/hooks/{name}", s.hookHandler)
	for path, methods := range map[string]map[string]func(*http.Request) (any, error){
		"/_simulate/{$}":              {"GET": s.getState},
		"/_simulate/rules":            {"GET": s.getRules, "POST": s.postRule, "DELETE": s.deleteRules},
		"/_simulate/rules/{id}":       {"DELETE": s.deleteRule},
		"/_simulate/ledger":           {"GET": s.getLedger},
		"/_simulate/copies":           {"GET": s.getCopies},
		"/_simulate/callbacks":        {"GET": s.getCallbacks},
		"/_simulate/callbacks/{type}": {"PUT": s.putCallback, "DELETE": s.deleteCallback},
		"/_simulate/hooks/{name}":     {"GET": s.getHook, "PUT": s.putHook, "DELETE": s.deleteHook},
		"/_simulate/reset":            {"POST": s.postReset},
	} {
		mux.Handle(path, s.control(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, comm.E("not_found", "Nothing is here: providers are below /resend/, /arkesel/, /hubtel/, /nalo/, /mnotify/ and /twilio/, receivers below /hooks/, orders below /_simulate/."))
	})
	return mux
}

// control serves one path of the control interface. A page in a browser can neither
// order anything nor read: bodies must be JSON, and the host must be of this machine.
func (s *Server) control(methods map[string]func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		serve, allowed := methods[r.Method]
		switch {
		case !s.cfg.Expose && !isLoopback(strings.Trim(host, "[]")), r.Header.Get("Origin") != "":
			fail(w, comm.E("blocked_address", "Orders are taken on loopback alone, and from no web page."))
			return
		case !allowed:
			var all []string
			for m := range methods {
				all = append(all, m)
			}
			slices.Sort(all)
			w.Header().Set("Allow", strings.Join(all, ", "))
			fail(w, comm.E("method_not_allowed"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxOrder)
		v, err := serve(r)
		if err != nil {
			fail(w, err)
			return
		}
		if v == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		status := http.StatusOK
		if r.Method == http.MethodPost {
			status = http.StatusCreated
		}
		reply(w, status, v)
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		status, b = http.StatusInternalServerError, *bytes.NewBufferString(`{"error":"The answer could not be written."}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // whoever asked may be gone
}

// fail writes an error in the shape of CommServer's API.
func fail(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*comm.Error](err)
	if !ok {
		e = comm.E("internal")
	}
	status := map[comm.Kind]int{comm.Invalid: 400, comm.Forbidden: 403, comm.Missing: 404, comm.Method: 405, comm.Conflict: 409, comm.TooLarge: 413, comm.Unsupported: 415}[e.Kind]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	details := map[string]any{"code": e.Code}
	if len(e.Fields) > 0 {
		details["fields"] = e.Fields
	}
	reply(w, status, map[string]any{"error": e.Text, "details": details})
}

// order reads a request's body.
func order(r *http.Request, v any) error {
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return comm.E("unsupported_media_type")
	}
	raw, err := io.ReadAll(r.Body)
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return comm.E("body_too_large")
	}
	if err != nil {
		return comm.E("timeout")
	}
	return strictjson.Decode(raw, v, nil)
}

// state is the answer to GET /_simulate/.
type state struct {
	Providers      map[string]string `json:"providers"` // type: baseUrl
	Relays         []string          `json:"relays"`
	Receivers      map[string]int64  `json:"receivers"` // name: deliveries
	Rules          int               `json:"rules"`
	Counts         []Count           `json:"counts"`
	Forgotten      int64             `json:"forgotten"` // lines that are no longer in memory
	ReportsPlanned int               `json:"reportsPlanned"`
	ReportsDropped int64             `json:"reportsDropped"`
	LedgerFile     string            `json:"ledgerFileError,omitzero"`
}

func (s *Server) getState(*http.Request) (any, error) {
	st := state{Providers: map[string]string{}, Relays: s.Relays(), Receivers: s.hooks.names(), Rules: len(s.rules.list(s.cfg.Now()))}
	for _, kind := range WebTypes() {
		st.Providers[kind] = s.BaseURL(kind)
	}
	var broken error
	st.Counts, st.Forgotten, broken = s.ledger.sums()
	slices.SortFunc(st.Counts, func(a, b Count) int {
		return strings.Compare(a.Kind+"\x00"+a.Type+"\x00"+a.Outcome, b.Kind+"\x00"+b.Type+"\x00"+b.Outcome)
	})
	if broken != nil {
		st.LedgerFile = broken.Error()
	}
	st.Counts = list(st.Counts).Data
	st.ReportsPlanned, st.ReportsDropped = s.reports.waiting()
	return st, nil
}

// listOf is the answer of every list.
type listOf[T any] struct {
	Data []T `json:"data"`
}

func list[T any](all []T) listOf[T] {
	if all == nil {
		all = []T{}
	}
	return listOf[T]{all}
}

func (s *Server) getRules(*http.Request) (any, error) { return list(s.rules.list(s.cfg.Now())), nil }

func (s *Server) postRule(r *http.Request) (any, error) {
	var rule Rule
	if err := order(r, &rule); err != nil {
		return nil, err
	}
	id, err := s.Add(rule)
	if err != nil {
		return nil, err
	}
	return map[string]string{"id": id}, nil
}

func (s *Server) deleteRules(*http.Request) (any, error) {
	s.Clear()
	return nil, nil
}

func (s *Server) deleteRule(r *http.Request) (any, error) {
	if !s.Remove(r.PathValue("id")) {
		return nil, comm.E("not_found", "There is no such rule.")
	}
	return nil, nil
}

// filterOf reads the filters of a list, and refuses what it does not know.
func filterOf(r *http.Request, known ...string) (Filter, error) {
	f := Filter{Limit: usualListed}
	var wrong error
	whole := func(name, text string, most int64) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > most {
			wrong = comm.E("invalid_query").Field(name, "is a number from 0 to "+strconv.FormatInt(most, 10))
		}
		return n
	}
	for name, values := range r.URL.Query() {
		if len(values) != 1 || !slices.Contains(known, name) {
			return f, comm.E("invalid_query").Field(name, "is not known here, or given twice; known are "+strings.Join(known, ", "))
		}
		value := values[0]
		switch name {
		case "kind":
			f.Kind = value
		case "type":
			if f.Type = value; !slices.Contains(append(Types(), "HOOK"), value) {
				wrong = comm.E("invalid_query").Field(name, "is none of "+strings.Join(Types(), ", "))
			}
		case "recipient":
			f.Recipient = value
		case "outcome":
			f.Outcome = value
		case "token":
			f.Token = value
		case "providerId":
			f.ProviderID = value
		case "port":
			f.Port = int(whole(name, value, 65535))
		case "after":
			f.After = whole(name, value, 1<<62)
		case "least":
			f.Least = int(whole(name, value, 1<<30))
		case "limit":
			if f.Limit = int(whole(name, value, maxListed)); f.Limit == 0 && wrong == nil {
				wrong = comm.E("invalid_query").Field(name, "is a number from 1 to "+itoa(maxListed))
			}
		}
	}
	return f, wrong
}

func (s *Server) getLedger(r *http.Request) (any, error) {
	f, err := filterOf(r, "kind", "type", "recipient", "outcome", "token", "providerId", "port", "after", "limit")
	if err != nil {
		return nil, err
	}
	return list(s.ledger.find(f)), nil
}

func (s *Server) getCopies(r *http.Request) (any, error) {
	f, err := filterOf(r, "type", "recipient", "token", "least", "limit")
	if err != nil {
		return nil, err
	}
	return list(s.ledger.copiesOf(f)), nil
}

// aimed is where a type's reports go, its secret hidden.
type aimed struct {
	Type   string `json:"type"`
	URL    string `json:"url"`
	Signed bool   `json:"signed"`
}

func (s *Server) getCallbacks(*http.Request) (any, error) {
	var all []aimed
	targets := s.reports.aims()
	for _, kind := range WebTypes() {
		if t, found := targets[kind]; found {
			all = append(all, aimed{kind, t.URL, t.Secret != "" || kind == "TWILIO"})
		}
	}
	return list(all), nil
}

func (s *Server) putCallback(r *http.Request) (any, error) {
	var t Target
	if err := order(r, &t); err != nil {
		return nil, err
	}
	if t.URL == "" && r.PathValue("type") != "ARKESEL" {
		return nil, invalid("url", "is missing; DELETE takes it away")
	}
	return nil, s.reports.aim(r.PathValue("type"), t)
}

func (s *Server) deleteCallback(r *http.Request) (any, error) {
	return nil, s.reports.aim(r.PathValue("type"), Target{})
}

// hookView is a receiver with what it got.
type hookView struct {
	Received   int64      `json:"received"` // in all
	Deliveries []Delivery `json:"data"`
}

func (s *Server) getHook(r *http.Request) (any, error) {
	f, err := filterOf(r, "after", "limit")
	if err != nil {
		return nil, err
	}
	all, received, found := s.hooks.list(r.PathValue("name"), f.After, f.Limit)
	if !found {
		return nil, comm.E("not_found", "This receiver got nothing yet.")
	}
	return hookView{received, list(all).Data}, nil
}

func (s *Server) putHook(r *http.Request) (any, error) {
	var c hookConfig
	if err := order(r, &c); err != nil {
		return nil, err
	}
	return nil, s.hooks.set(r.PathValue("name"), c)
}

func (s *Server) deleteHook(r *http.Request) (any, error) {
	if !s.hooks.remove(r.PathValue("name")) {
		return nil, comm.E("not_found", "There is no such receiver.")
	}
	return nil, nil
}

func (s *Server) postReset(*http.Request) (any, error) {
	s.Forget()
	return map[string]string{"at": s.cfg.Now().UTC().Format(time.RFC3339Nano)}, nil
}
