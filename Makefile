# A thin front of CMake: `make` lists what there is.
HABITS := check check-full check-long check-layers check-cuda asan ubsan valgrind fuzz-replay \
          bench format format-check lint sizes
BUILD := build/release
export CMAKE_GENERATOR ?= Ninja

.PHONY: help build install package clean $(HABITS)

help:
	@echo 'make build          the library, tests, benchmarks and examples, in $(BUILD)'
	@echo 'make check          quick tests, layers, format: about a minute'
	@echo 'make check-full     what ./test.sh runs: at most 20 minutes'
	@echo 'make check-long     full sizes, valgrind, fuzzing; writes docs/records/'
	@echo 'make check-layers   rooms, names, headers, operators'
	@echo 'make check-cuda     the CUDA build and its cases, on a machine with a GPU'
	@echo 'make asan ubsan valgrind fuzz-replay'
	@echo 'make bench          the machine'"'"'s ceiling and each operator'"'"'s share of it'
	@echo 'make format lint sizes'
	@echo 'make install package   (CMake install and a .deb, from $(BUILD))'
	@echo 'make clean          removes build/'

$(BUILD)/CMakeCache.txt:
	cmake --preset release

build: $(BUILD)/CMakeCache.txt
	cmake --build $(BUILD)

$(HABITS): $(BUILD)/CMakeCache.txt
	cmake --build $(BUILD) --target $@

install: build
	cmake --install $(BUILD)

package: build
	cd $(BUILD) && cpack -G DEB

clean:
	rm -rf build
