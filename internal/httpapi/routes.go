package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
)

// Who may use a route.
type Who uint8

// The three doors.
const (
	Anyone      Who = iota + 1
	AnApp           // X-App-ID with its key, which must have the route's scope
	Provisioner     // X-Provisioning-Key
)

// Route is one row of the table.
type Route struct {
	Method, Path string
	Who          Who
	Scope        comm.Scopes // of AnApp
	Query        bool        // it takes parameters, which its handler reads; elsewhere any is refused
	handle       func(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error
}

// routes is everything that is served. The contract in api/openapi.json and the
// matrix of apps and scopes in the tests are held against it.
func (a *API) routes() []Route {
	health := []Route{
		{"GET", "/healthz", Anyone, 0, false, a.healthz},
		{"GET", "/readyz", Anyone, 0, false, a.readyz},
	}
	if a.cfg.HealthOnly {
		return health
	}
	return append(health, []Route{
		{"POST", "/api/v1/messages", AnApp, comm.ScopeSend, false, a.createMessage},
		{"POST", "/api/v1/messages/batch", AnApp, comm.ScopeSend, false, a.createBatch},
		{"POST", "/api/v1/messages/preview", AnApp, comm.ScopeSend, false, a.previewMessage},
		{"GET", "/api/v1/messages", AnApp, comm.ScopeRead, true, a.listMessages},
		{"GET", "/api/v1/messages/{id}", AnApp, comm.ScopeRead, false, a.getMessage},
		{"PATCH", "/api/v1/messages/{id}", AnApp, comm.ScopeSend, false, a.changeMessage},

		{"GET", "/api/v1/sandbox/messages", AnApp, comm.ScopeRead, true, a.listCaptures},
		{"GET", "/api/v1/sandbox/messages/{id}", AnApp, comm.ScopeRead, false, a.getCapture},

		{"GET", "/api/v1/app", AnApp, comm.ScopeRead, false, a.getApp},
		{"PATCH", "/api/v1/app", AnApp, comm.ScopeProviders, false, a.changeApp},

		{"POST", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, false, a.createProvider},
		{"GET", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, false, a.listProviders},
		{"GET", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, false, a.getProvider},
		{"PATCH", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, false, a.changeProvider},
		{"DELETE", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, false, a.deleteProvider},

		{"POST", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, false, a.createSuppression},
		{"GET", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, true, a.listSuppressions},
		{"DELETE", "/api/v1/suppressions", AnApp, comm.ScopeSuppressions, true, a.deleteSuppression},
		{"POST", "/api/v1/suppressions/import", AnApp, comm.ScopeSuppressions, false, a.importSuppressions},
		{"GET", "/api/v1/suppressions/export", AnApp, comm.ScopeSuppressions, true, a.exportSuppressions},

		{"POST", "/api/provision/apps", Provisioner, 0, false, a.provision},

		{"GET", "/api/openapi", Anyone, 0, false, a.openapi},
		{"GET", "/{$}", Anyone, 0, false, a.root},
	}...)
}

// Routes lists what is served, for documentation and tests.
func (a *API) Routes() []Route { return a.routes() }
