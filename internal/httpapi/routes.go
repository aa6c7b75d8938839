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
	handle       func(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error
}

// routes is everything that is served. The contract in api/openapi.json and the
// matrix of apps and scopes in the tests are held against it.
func (a *API) routes() []Route {
	health := []Route{
		{"GET", "/healthz", Anyone, 0, a.healthz},
		{"GET", "/readyz", Anyone, 0, a.readyz},
	}
	if a.cfg.HealthOnly {
		return health
	}
	return append(health, []Route{
		{"POST", "/api/v1/messages", AnApp, comm.ScopeSend, a.createMessage},
		{"GET", "/api/v1/messages", AnApp, comm.ScopeRead, a.listMessages},
		{"GET", "/api/v1/messages/{id}", AnApp, comm.ScopeRead, a.getMessage},
		{"PATCH", "/api/v1/messages/{id}", AnApp, comm.ScopeSend, a.changeMessage},

		{"GET", "/api/v1/sandbox/messages", AnApp, comm.ScopeRead, a.listCaptures},
		{"GET", "/api/v1/sandbox/messages/{id}", AnApp, comm.ScopeRead, a.getCapture},

		{"GET", "/api/v1/app", AnApp, comm.ScopeRead, a.getApp},
		{"PATCH", "/api/v1/app", AnApp, comm.ScopeProviders, a.changeApp},

		{"POST", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, a.createProvider},
		{"GET", "/api/v1/provider-configs", AnApp, comm.ScopeProviders, a.listProviders},
		{"GET", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, a.getProvider},
		{"PATCH", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, a.changeProvider},
		{"DELETE", "/api/v1/provider-configs/{id}", AnApp, comm.ScopeProviders, a.deleteProvider},

		{"POST", "/api/provision/apps", Provisioner, 0, a.provision},

		{"GET", "/api/openapi", Anyone, 0, a.openapi},
		{"GET", "/{$}", Anyone, 0, a.root},
	}...)
}

// Routes lists what is served, for documentation and tests.
func (a *API) Routes() []Route { return a.routes() }
