# Only Go is needed; the tools that are not part of Go are built from pinned
# versions into .ci/bin when first used.

.PHONY: test race lint generate image sim fuzz bench demo ci cassandra cassandra3

test: ## what the README promises
	go test ./...

race:
	SKERRY_SKIP=cassandra CGO_ENABLED=1 go test -race -timeout 15m ./...

lint:
	$$(.ci/tool golangci-lint) run ./...
	$$(.ci/tool buf) lint
	.ci/breaking

generate: ## code from the .proto files
	$$(.ci/tool buf) generate
	cd docs/testdata/tutorial && ../../../.ci/bin/buf generate

image: ## at a release: what later changes of the .proto files are held against
	$$(.ci/tool buf) build --exclude-source-info -o .ci/image.binpb

sim: ## SCHEDULES=n of the pure machines, then plans for assembled clusters for as long as FOR=10m says
	.ci/sim $(or $(SCHEDULES),100000)
	.ci/plans $(or $(FOR),2m)

fuzz: ## EACH=n seconds
	.ci/fuzz $(or $(EACH),10)

bench:
	go run ./cmd/skerry bench

demo:
	go run ./cmd/auction demo

cassandra: ## one Cassandra node for development, with HEAP=1024 MiB of heap; needs Java 17 and Maven
	go run ./journal/cassandra/launch/node -heap $(or $(HEAP),1024)

cassandra3: ## three nodes, on 127.0.0.1 to 127.0.0.3, each with as much
	go run ./journal/cassandra/launch/node -nodes 3 -heap $(or $(HEAP),1024)

ci:
	.ci/run
