# Install, pkg-config and the Debian package.
install(TARGETS bdpo LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
                     ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
# By name and not as a directory: include/bdpo/ops.h is a link to the file beside its operators.
file(GLOB public_headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/include/bdpo/*.h)
foreach(header ${public_headers})
  get_filename_component(name ${header} NAME)
  get_filename_component(file ${header} REALPATH)
  install(FILES ${file} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bdpo RENAME ${name})
endforeach()

# A static library leaves its dependencies to whoever links it; a shared one brings them along.
if(BDPO_CUDA_FOUND)
  string(APPEND BDPO_PC_LIBS " -L${CUDAToolkit_LIBRARY_DIR} -lcudart -ldl -lstdc++")
endif()
if(BUILD_SHARED_LIBS)
  set(BDPO_PC_PUBLIC "")
else()
  set(BDPO_PC_PUBLIC ${BDPO_PC_LIBS})
endif()
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/bdpo.pc.in
               ${CMAKE_CURRENT_BINARY_DIR}/generated/bdpo.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/generated/bdpo.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(CPACK_PACKAGE_NAME libbdpo-dev)
set(CPACK_PACKAGE_CONTACT "The bdpo authors <bdpo@example.org>")
set(CPACK_PACKAGE_VENDOR bdpo)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libc6-dev, libgomp1, libjansson-dev, libssl-dev, libpng-dev, \
libjpeg-dev, libwebp-dev, libutf8proc-dev, zlib1g-dev, libsnappy-dev, libzstd-dev, liblz4-dev, \
libarchive-dev, libcsv-dev, libcurl4-openssl-dev, libsqlite3-dev")
if(BDPO_HAVE_DNNL)
  string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", libdnnl-dev")
elseif(BDPO_HAVE_OPENBLAS)
  string(APPEND CPACK_DEBIAN_PACKAGE_DEPENDS ", libopenblas-openmp-dev")
endif()
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_GENERATOR DEB)
include(CPack)
