package sqltext

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

// value is an expression, or one of the results of a call, or what a loop takes out of something.
type value struct {
	expr   ast.Expr
	result int
}

// parameter is the place of a parameter in a function's list; -1 is the receiver.
type parameter struct {
	fn ast.Node // *ast.FuncDecl or *ast.FuncLit
	at int
}

// index is what stands where in a package, tests apart.
type index struct {
	info    *types.Info
	parent  map[ast.Node]ast.Node
	writes  map[types.Object][]value
	written []types.Object // the keys of writes, in the order of the source
	uses    map[types.Object][]*ast.Ident
	decls   map[*types.Func]*ast.FuncDecl
	params  map[types.Object]parameter
	order   []*ast.CallExpr
	returns map[ast.Node][]*ast.ReturnStmt
}

func read(pass *analysis.Pass) *index {
	x := &index{
		info: pass.TypesInfo, parent: map[ast.Node]ast.Node{}, writes: map[types.Object][]value{}, uses: map[types.Object][]*ast.Ident{},
		decls: map[*types.Func]*ast.FuncDecl{}, params: map[types.Object]parameter{}, returns: map[ast.Node][]*ast.ReturnStmt{},
	}
	for _, f := range pass.Files {
		if strings.HasSuffix(pass.Fset.Position(f.Pos()).Filename, "_test.go") {
			continue
		}
		var stack []ast.Node
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil {
				stack = stack[:len(stack)-1]
				return true
			}
			if len(stack) > 0 {
				x.parent[n] = stack[len(stack)-1]
			}
			stack = append(stack, n)
			x.node(n)
			return true
		})
	}
	return x
}

func (x *index) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if fn, ok := x.info.Defs[n.Name].(*types.Func); ok {
			x.decls[fn] = n
		}
		if n.Recv != nil {
			x.list(n, n.Recv, -1)
		}
		x.list(n, n.Type.Params, 0)
	case *ast.FuncLit:
		x.list(n, n.Type.Params, 0)
	case *ast.ReturnStmt:
		fn := x.function(n)
		x.returns[fn] = append(x.returns[fn], n)
	case *ast.Ident:
		if obj := x.info.Uses[n]; obj != nil {
			x.uses[origin(obj)] = append(x.uses[origin(obj)], n)
		}
	case *ast.AssignStmt:
		x.assign(n.Lhs, n.Rhs)
	case *ast.ValueSpec:
		names := make([]ast.Expr, len(n.Names))
		for i, name := range n.Names {
			names[i] = name
		}
		if len(n.Values) > 0 {
			x.assign(names, n.Values)
		}
	case *ast.RangeStmt:
		for _, to := range []ast.Expr{n.Key, n.Value} {
			if to != nil {
				x.put(to, value{n.X, -1})
			}
		}
	case *ast.TypeSwitchStmt:
		x.typeSwitch(n)
	case *ast.CompositeLit:
		x.literal(n)
	case *ast.CallExpr:
		x.order = append(x.order, n)
		if id, ok := ast.Unparen(n.Fun).(*ast.Ident); ok && id.Name == "copy" && x.info.Uses[id] == types.Universe.Lookup("copy") {
			x.put(n.Args[0], value{n.Args[1], -1})
		}
	}
}

// list notes the parameters of a function.
func (x *index) list(fn ast.Node, fields *ast.FieldList, at int) {
	for _, f := range fields.List {
		for _, name := range f.Names {
			if obj := x.info.Defs[name]; obj != nil {
				x.params[obj] = parameter{fn, at}
			}
			at++
		}
		if len(f.Names) == 0 {
			at++
		}
	}
}

// function is the innermost function around a node.
func (x *index) function(n ast.Node) ast.Node {
	for n = x.parent[n]; n != nil; n = x.parent[n] {
		switch n.(type) {
		case *ast.FuncDecl, *ast.FuncLit:
			return n
		}
	}
	return nil
}

func (x *index) assign(to, from []ast.Expr) {
	for i, l := range to {
		if len(to) == len(from) {
			x.put(l, value{from[i], -1})
		} else {
			x.put(l, value{from[0], i})
		}
	}
}

// put notes that a value goes to a place.
func (x *index) put(to ast.Expr, v value) {
	switch to := ast.Unparen(to).(type) {
	case *ast.Ident:
		x.write(x.info.ObjectOf(to), v)
	case *ast.SelectorExpr:
		x.write(x.info.Uses[to.Sel], v)
	case *ast.IndexExpr:
		x.put(to.X, v)
		if _, ok := under(x.info.TypeOf(to.X)).(*types.Map); ok {
			x.put(to.X, value{to.Index, -1})
		}
	case *ast.SliceExpr:
		x.put(to.X, v)
	case *ast.StarExpr:
		x.put(to.X, v)
	}
}

func (x *index) write(obj types.Object, v value) {
	if obj == nil {
		return
	}
	obj = origin(obj)
	if x.writes[obj] == nil {
		x.written = append(x.written, obj)
	}
	x.writes[obj] = append(x.writes[obj], v)
}

// literal notes what a literal puts into fields.
func (x *index) literal(lit *ast.CompositeLit) {
	s, ok := under(x.info.TypeOf(lit)).(*types.Struct)
	if !ok {
		return
	}
	for i, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			x.write(x.info.Uses[kv.Key.(*ast.Ident)], value{kv.Value, -1})
		} else {
			x.write(s.Field(i), value{e, -1})
		}
	}
}

func (x *index) typeSwitch(n *ast.TypeSwitchStmt) {
	a, ok := n.Assign.(*ast.AssignStmt)
	if !ok {
		return
	}
	for _, clause := range n.Body.List {
		x.write(x.info.Implicits[clause], value{a.Rhs[0], -1})
	}
}

// callee is the function or method that a call names; nil for a conversion, a builtin and a function in a variable.
func (x *index) callee(call *ast.CallExpr) *types.Func {
	fn, _ := typeutil.Callee(x.info, call).(*types.Func)
	if fn == nil {
		return nil
	}
	return fn.Origin()
}

// called is the call of which an identifier is the function, nil when it is used in another way.
func (x *index) called(id *ast.Ident) *ast.CallExpr {
	var n ast.Node = id
	for {
		up := x.parent[n]
		switch e := up.(type) {
		case *ast.SelectorExpr:
			if e.Sel != n {
				return nil
			}
		case *ast.ParenExpr:
		case *ast.IndexExpr: // of a generic function
			if e.X != n {
				return nil
			}
		case *ast.CallExpr:
			if e.Fun == n {
				return e
			}
			return nil
		default:
			return nil
		}
		n = up
	}
}

// goesTo is the variable, field or parameter that an expression is put into; nil when that cannot be told.
func (x *index) goesTo(e ast.Expr) types.Object {
	var obj types.Object
	switch up := x.parent[e].(type) {
	case *ast.AssignStmt:
		if i := slices.Index(up.Rhs, e); i >= 0 && len(up.Lhs) == len(up.Rhs) {
			obj = x.place(up.Lhs[i])
		}
	case *ast.ValueSpec:
		if i := slices.Index(up.Values, e); i >= 0 && len(up.Names) == len(up.Values) {
			obj = x.info.Defs[up.Names[i]]
		}
	case *ast.KeyValueExpr:
		if key, ok := up.Key.(*ast.Ident); ok && up.Value == e {
			if field, ok := x.info.Uses[key].(*types.Var); ok && field.IsField() {
				obj = field
			}
		}
	case *ast.CallExpr:
		obj = x.takes(up, e)
	}
	if obj == nil {
		return nil
	}
	return origin(obj)
}

// takes is the parameter that an argument goes to as it is; nil when it is one of several for a last parameter.
func (x *index) takes(call *ast.CallExpr, e ast.Expr) types.Object {
	fn, i := x.callee(call), slices.Index(call.Args, e)
	if fn == nil || x.decls[fn] == nil || i < 0 {
		return nil
	}
	sig := fn.Signature()
	if last := sig.Params().Len() - 1; i > last || i == last && sig.Variadic() && !call.Ellipsis.IsValid() {
		return nil
	}
	return sig.Params().At(i)
}

func (x *index) place(e ast.Expr) types.Object {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return x.info.ObjectOf(e)
	case *ast.SelectorExpr:
		return x.info.Uses[e.Sel]
	}
	return nil
}

// addresses are the places where the address of a variable or a field is taken.
func (x *index) addresses(obj types.Object) (at []ast.Node) {
	for _, id := range x.uses[obj] {
		var n ast.Node = id
		for {
			up := x.parent[n]
			if s, ok := up.(*ast.SelectorExpr); ok && s.Sel == n {
				n = up
				continue
			}
			if i, ok := up.(*ast.IndexExpr); ok && i.X == n {
				n = up
				continue
			}
			if u, ok := up.(*ast.UnaryExpr); ok && u.Op == token.AND {
				at = append(at, u)
			}
			if s, ok := up.(*ast.SelectorExpr); ok && x.changes(s) {
				at = append(at, s)
			}
			break
		}
	}
	return at
}

// changes says whether a selector calls a method that may change the value before it, by its address.
func (x *index) changes(s *ast.SelectorExpr) bool {
	sel := x.info.Selections[s]
	if sel == nil || sel.Kind() != types.MethodVal || !holdsText(x.info.TypeOf(s.X)) || builder(x.info.TypeOf(s.X)) {
		return false
	}
	_, ptr := receiver(sel.Obj().(*types.Func)).(*types.Pointer)
	_, is := x.info.TypeOf(s.X).Underlying().(*types.Pointer)
	return ptr && !is
}

// origin is a generic function or field as it was declared.
func origin(obj types.Object) types.Object {
	switch o := obj.(type) {
	case *types.Func:
		return o.Origin()
	case *types.Var:
		return o.Origin()
	}
	return obj
}

func under(t types.Type) types.Type {
	if t == nil {
		return nil
	}
	if ptr, ok := t.Underlying().(*types.Pointer); ok {
		t = ptr.Elem()
	}
	return t.Underlying()
}
