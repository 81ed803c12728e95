# A thin front over CMake's presets. 'make' builds build/adze; 'make help' lists the rest.

.PHONY: all help demo test bench evidence fuzz lint format install deps check-layers test-peers \
	asan tsan races debug clean

PREFIX ?= /usr/local

all:
	@scripts/deps.sh --install --quiet
	@[ -e build/build.ninja ] || cmake --preset release >build-log.txt || { cat build-log.txt; exit 1; }
	@rm -f build-log.txt
	@ninja -C build --quiet adze libadze

help:
	@echo 'make              build/adze and the library, installing packages that are missing'
	@echo 'make demo         the main job on text that Debian ships; about five minutes'
	@echo 'make test         builds and runs all tests'
	@echo 'make asan, tsan   all tests under sanitizers'
	@echo 'make races        the server, the engine and the thread pool under ThreadSanitizer'
	@echo 'make test-peers   live comparisons with transformers and llama.cpp'
	@echo 'make fuzz         the fuzz targets, a minute in all'
	@echo 'make bench        speed beside the peers, into docs/performance.md'
	@echo 'make evidence     the methods on real data, into docs/evidence.md'
	@echo 'make lint, format, check-layers, deps, install (PREFIX=$(PREFIX)), clean'

demo:
	@scripts/deps.sh --demo --install --quiet
	@$(MAKE) --no-print-directory all
	@scripts/demo.sh

test:
	@scripts/deps.sh --tests --install --quiet
	@cmake --preset release >/dev/null
	@ninja -C build --quiet
	@ctest --test-dir build --output-on-failure --no-tests=error

asan tsan debug:
	@scripts/deps.sh --tests --install --quiet
	@cmake --preset $@ >/dev/null
	@ninja -C build/$@ --quiet
	@ctest --test-dir build/$@ --output-on-failure --no-tests=error

# The models of the test are made without the sanitizer, which finds nothing there and takes minutes.
races: all
	@scripts/deps.sh --tests --install --quiet
	@cmake --preset tsan >/dev/null
	@ninja -C build/tsan --quiet adze serve_client run_test_engine base_test_containers
	@ADZE_FLOOD=500 ADZE_TRAINER=$(CURDIR)/build/adze ctest --test-dir build/tsan \
		--output-on-failure --no-tests=error -R 'cli/test_serve|run/test_engine|base/test_containers'

test-peers: all
	@tests/peers/run.sh

fuzz:
	@scripts/deps.sh --fuzz --install --quiet
	@scripts/fuzz.sh

bench: all
	@scripts/bench.sh

evidence: all
	@scripts/evidence.sh

lint:
	@scripts/deps.sh --lint --install --quiet
	@[ -e build/build.ninja ] || cmake --preset release >/dev/null
	@scripts/lint.sh

format:
	@scripts/deps.sh --lint --install --quiet
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all
	@cmake --install build --prefix $(PREFIX)

deps:
	@scripts/deps.sh
	@scripts/deps.sh --install --quiet

check-layers:
	@scripts/check-layers.sh

clean:
	@rm -rf build
