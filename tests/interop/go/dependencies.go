// Package interop names what the Go programs of docs/verifiers.md import, so that go.mod and go.sum
// pin it and a build warms the cache. The programs themselves stand on that page.
package interop

import (
	_ "github.com/MicahParks/keyfunc/v3"
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/golang-jwt/jwt/v5"
	_ "golang.org/x/time/rate"
)
