# The habits: cmake --build build/release --target check
