module mobile-cvl-hub/log-verifier

go 1.23.0

require golang.org/x/mod v0.25.0
